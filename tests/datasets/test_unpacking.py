"""Archives of each dataset with names and links that point out of their folder."""

import io
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from keras_fcn.datasets import prepare_dataset, tfds_builder
from keras_fcn.datasets.camvid import camvid_dataset_builder
from keras_fcn.datasets.tfds_builder import Archive
from keras_fcn.datasets.tfds_reader import BUILDERS, find_source_files


def write_tar(path: Path, outside: Path) -> None:
    with tarfile.open(path, "w:gz" if path.suffix in (".gz", ".tgz") else "w") as tar:

        def add(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> None:
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, target
            content = b"" if target else b"evil"
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))

        add("inside.txt")
        add("../up.txt")
        add("deep/../../up.txt")
        add(str(outside / "absolute.txt"))
        add("folder", tarfile.SYMTYPE, str(outside))
        add("folder/through.txt")
        add("link.txt", tarfile.SYMTYPE, str(outside / "secret.txt"))
        add("hard.txt", tarfile.LNKTYPE, str(outside / "secret.txt"))


def write_zip(path: Path, outside: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("inside.txt", "../up.txt", "deep/../../up.txt", f"{outside}/absolute.txt"):
            archive.writestr(name, "evil")
        link = zipfile.ZipInfo("folder")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, str(outside))
        archive.writestr("folder2/through.txt", "evil")


@pytest.mark.parametrize("name", BUILDERS)
def test_archives_are_unpacked_inside_their_folder_only(name, tmp_path, monkeypatch):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.txt").write_text("secret")
    served = tmp_path / "served"
    served.mkdir()
    module, variant = BUILDERS[name]
    builder = __import__(module, fromlist=["Builder"]).Builder
    archives = builder.ARCHIVES[variant]
    for number, archive in enumerate(archives):
        path = served / f"{number}-{Path(archive.url).name}"
        (write_zip if path.suffix == ".zip" else write_tar)(path, outside)
    local = [Archive(f"{n}-{Path(archive.url).name}") for n, archive in enumerate(archives)]
    monkeypatch.setattr(builder, "ARCHIVES", {variant: local})
    monkeypatch.setattr(tfds.download.DownloadManager, "download", lambda _, url: served / url)
    extracted = []
    find_files = builder.find_files

    def found(folders, variant):
        extracted.extend(folders)
        return find_files(folders, variant)

    monkeypatch.setattr(builder, "find_files", staticmethod(found))

    with pytest.raises(ValueError, match="found in|not published as an archive"):
        prepare_dataset(name, data_dir=tmp_path / "prepared")

    assert len(extracted) == len(archives)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["outside", "prepared", "served"]
    assert [path.name for path in outside.iterdir()] == ["secret.txt"]
    assert (outside / "secret.txt").read_text() == "secret"
    for path in (tmp_path / "prepared").rglob("*"):
        assert not path.is_symlink()
        assert not path.is_file() or b"secret" not in path.read_bytes()
        assert path.name not in ("up.txt", "absolute.txt")


def write_camvid(folder: Path) -> None:
    pixels = np.arange(4 * 6 * 3, dtype="uint8").reshape(4, 6, 3)
    for split in ("train", "val"):
        for kind, picture in ((split, pixels), (f"{split}annot", pixels[..., 0] % 12)):
            (folder / kind).mkdir(parents=True)
            Image.fromarray(picture).save(folder / kind / "1.png")


def test_an_archive_without_a_checksum_is_compared_by_its_pixels(tmp_path, monkeypatch):
    write_camvid(tmp_path / "made" / "CamVid")
    monkeypatch.setattr(tfds_builder, "_download", lambda *_: tmp_path / "made")

    with pytest.raises(ValueError, match=r"'train' of the archive was damaged.*`source`"):
        prepare_dataset("camvid", data_dir=tmp_path / "prepared")

    _, files = find_source_files("camvid", tmp_path / "made")
    digests = {split: tfds_builder.pixels_digest(examples) for split, examples in files.items()}
    monkeypatch.setattr(camvid_dataset_builder.Builder, "PIXELS", digests)
    assert prepare_dataset("camvid", data_dir=tmp_path / "prepared").splits == {
        "train": 1, "val": 1,
    }  # fmt: skip


def test_the_digest_changes_with_one_pixel_and_not_with_the_packing(tmp_path):
    write_camvid(tmp_path)
    files = {"1": {"image": tmp_path / "train" / "1.png", "label": tmp_path / "trainannot/1.png"}}
    before = tfds_builder.pixels_digest(files)
    with Image.open(files["1"]["label"]) as image:
        pixels = np.array(image)
    Image.fromarray(pixels).save(files["1"]["label"], compress_level=0)
    assert tfds_builder.pixels_digest(files) == before

    pixels[3, 5] += 1
    Image.fromarray(pixels).save(files["1"]["label"])
    assert tfds_builder.pixels_digest(files) != before
