"""Archives are downloaded, verified and unpacked; the server is this process."""

import hashlib
import http.server
import tarfile
import threading
from pathlib import Path

import pytest

from keras_fcn.datasets import open_dataset, prepare_dataset
from keras_fcn.datasets.tfds_builder import Archive
from keras_fcn.datasets.voc import voc_dataset_builder

from . import devkits


class _Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server(tmp_path, monkeypatch):
    """Yields (folder that is served, its URL)."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    folder = tmp_path / "served"
    folder.mkdir()
    handler = lambda *args: _Handler(*args, directory=str(folder))  # noqa: E731
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield folder, f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


def pack(source: Path, archive: Path) -> str:
    """Packs a folder and returns the checksum of the archive."""
    with tarfile.open(archive, "w:gz" if archive.suffix == ".tgz" else "w") as tar:
        tar.add(source, arcname=source.name)
    return "md5:" + hashlib.md5(archive.read_bytes()).hexdigest()


@pytest.fixture
def archives(server, tmp_path, monkeypatch) -> dict[str, Archive]:
    """Tiny archives with the names and layouts of the real ones, in the builder's table."""
    folder, url = server
    voc = devkits.write_voc(
        tmp_path / "made" / "VOCdevkit" / "VOC2012", {"train": ["1", "2"], "val": ["3"]}
    )
    devkits.write_voc_image(voc, "4")
    devkits.write_sbd(tmp_path / "made", {"train": ["4"], "val": ["3"]})
    checksums = {
        "VOCtrainval_11-May-2012.tar": pack(voc.parent, folder / "VOCtrainval_11-May-2012.tar"),
        "benchmark.tgz": pack(tmp_path / "made" / "benchmark_RELEASE", folder / "benchmark.tgz"),
    }
    made = {name: Archive(f"{url}/{name}", checksum) for name, checksum in checksums.items()}
    monkeypatch.setattr(voc_dataset_builder.Builder, "ARCHIVES", {"2012_aug": list(made.values())})
    return made


@pytest.mark.usefixtures("archives")
def test_archives_are_joined_and_prepared(tmp_path, capsys):
    dataset = prepare_dataset("voc2012_aug", data_dir=tmp_path / "prepared")

    ids = [e["id"].decode() for e in dataset.examples("train").as_numpy_iterator()]
    assert sorted(ids) == ["1", "2", "4"]
    assert dataset.splits == {"train": 3, "val": 1}
    assert capsys.readouterr().out == ""
    # The archives are preferred to a folder that was prepared later.
    source = tmp_path / "made" / "VOCdevkit"
    devkits.write_voc(source / "VOC2012", {"val": ["2", "3"]})
    assert open_dataset("voc2012_aug", tmp_path / "made", tmp_path / "prepared").splits["val"] == 2
    assert open_dataset("voc2012_aug", data_dir=tmp_path / "prepared").splits["val"] == 1


def test_damaged_archive_is_refused(archives, server, tmp_path):
    path = server[0] / "benchmark.tgz"
    path.write_bytes(path.read_bytes()[:-9])

    expected = r"benchmark\.tgz: the download is damaged.*Expected md5:"
    with pytest.raises(ValueError, match=expected):
        prepare_dataset("voc2012_aug", data_dir=tmp_path / "prepared")
    assert not list((tmp_path / "prepared").rglob("*benchmark*.tgz"))


@pytest.mark.usefixtures("archives")
def test_missing_archive_says_what_to_do_by_hand(server, tmp_path):
    (server[0] / "benchmark.tgz").unlink()

    expected = r"benchmark\.tgz cannot be downloaded.*unpack it, and give the folder as `source`"
    with pytest.raises(ConnectionError, match=expected):
        prepare_dataset("voc2012_aug", data_dir=tmp_path / "prepared")
