import pytest

from keras_fcn.files import replacing, write_text


def test_file_appears_when_it_is_complete(tmp_path):
    path = tmp_path / "deep" / "file.txt"

    with replacing(path) as temporary:
        temporary.write_text("new")
        assert not path.exists()

    assert path.read_text() == "new"
    assert list(path.parent.iterdir()) == [path]


def test_failure_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "file.txt"
    write_text(path, "old")

    def half_written():
        with replacing(path) as temporary:
            temporary.write_text("ne")
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        half_written()

    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
