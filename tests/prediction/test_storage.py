"""Files are found, read and written by URL as they are by path."""

from pathlib import Path

import pytest

from keras_fcn.files import RECORD, WrittenFiles
from keras_fcn.prediction import storage

for package in ("pyarrow", "fsspec"):
    pytest.importorskip(package, reason=f'{package} is missing: pip install "keras_fcn[bulk]"')
pytestmark = pytest.mark.usefixtures("elsewhere")


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    (folder / "below").mkdir(parents=True)
    for name in ("b.jpg", "a.PNG", "notes.txt", ".hidden.jpg", "map.tif", "below/c.jpg"):
        (folder / name).write_bytes(name.encode())
    return folder


@pytest.mark.parametrize("scheme", ["", "file://", "elsewhere://"])
def test_paths_and_urls_name_the_same_images(photos, scheme):
    notes = []

    filesystem, found = storage.find_stored_images([f"{scheme}{photos}"], notes.append)
    _, matched = storage.find_stored_images([f"{scheme}{photos}/**/*.jpg"], notes.append)
    _, named = storage.find_stored_images([f"{scheme}{photos}/b.jpg"], notes.append)

    assert found == [f"{photos}/a.PNG", f"{photos}/b.jpg"]
    assert sorted(matched) == [f"{photos}/b.jpg", f"{photos}/below/c.jpg"]
    assert named == [f"{photos}/b.jpg"]
    assert storage.read_stored(filesystem, found[1]) == b"b.jpg"
    assert "1 TIFF files" in notes[-1]


@pytest.mark.parametrize("scheme", ["", "elsewhere://"])
def test_nothing_found_is_an_error_with_the_way_out(photos, tmp_path, scheme):
    (tmp_path / "empty").mkdir()

    for name, text in (
        ("empty", "There is no image in .*empty.*pattern such as"),
        ("photos/*.bmp", "No file matches the pattern"),
        ("photos/*.tif", "without `--engine ray`"),
    ):
        with pytest.raises(ValueError, match=text):
            storage.find_stored_images([f"{scheme}{tmp_path}/{name}"], print)


def test_images_of_two_places_are_refused(photos):
    with pytest.raises(ValueError, match="one place"):
        storage.find_stored_images([str(photos), f"elsewhere://{photos}"], print)


def test_an_unknown_scheme_is_named():
    with pytest.raises(ValueError, match="carrier://pigeon cannot be opened: .*carrier"):
        storage.open_storage("carrier://pigeon")


@pytest.mark.parametrize("scheme", ["file://", "elsewhere://", "subtree"])
def test_a_file_is_written_under_its_name_when_it_is_complete(tmp_path, scheme):
    filesystem, path = place(tmp_path, scheme)
    storage.write_stored(filesystem, f"{path}/new/a.png", b"first")

    assert (tmp_path / "new" / "a.png").read_bytes() == b"first"
    assert {p.name for p in (tmp_path / "new").iterdir()} - {RECORD} == {"a.png"}
    assert storage.files_in(filesystem, f"{path}/new", recursive=False) >= {f"{path}/new/a.png"}
    assert storage.missing_of(filesystem, [f"{path}/new/a.png", f"{path}/b"]) == [f"{path}/b"]


def test_a_write_that_fails_leaves_nothing_under_the_name(tmp_path, monkeypatch):
    def failing(filesystem, path, content):
        Path(path).write_bytes(content[:2])
        raise OSError("the connection is lost")

    filesystem, path = place(tmp_path, "elsewhere://")
    monkeypatch.setattr(storage, "_put", failing)
    with pytest.raises(OSError, match="connection"):
        storage.write_stored(filesystem, f"{path}/a.png", b"mask")
    monkeypatch.undo()

    assert not (tmp_path / "a.png").exists()
    storage.write_stored(filesystem, f"{path}/a.png", b"mask")
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == {"a.png": b"mask"}


def test_a_file_in_s3_is_sent_by_one_request():
    filesystem, path = storage.open_storage("s3://bucket/masks?region=eu-central-1")

    assert path == "bucket/masks" and filesystem.type_name in storage._ATOMIC
    assert filesystem.__reduce__()[1][0]["allow_delayed_open"]


def test_what_is_written_on_this_machine_is_recorded(tmp_path):
    filesystem, path = storage.open_storage(str(tmp_path))

    storage.write_stored(filesystem, f"{path}/a.png", b"mask")

    assert WrittenFiles().has(tmp_path / "a.png")


def place(folder, scheme):
    """Returns a filesystem and the path in it that is the folder."""
    from pyarrow.fs import LocalFileSystem, SubTreeFileSystem

    if scheme == "subtree":
        return SubTreeFileSystem(str(folder.parent), LocalFileSystem()), folder.name
    return storage.open_storage(f"{scheme}{folder}")
