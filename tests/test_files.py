import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from keras_fcn import files
from keras_fcn.files import (
    RECORD,
    LockedError,
    WrittenFiles,
    locked,
    move,
    replacing,
    temporary_folder,
    write_bytes,
    write_json,
    write_text,
)


def start_writer(path, content="half", folder=False):
    """Returns a process that stops in the middle of a write, and where it writes to."""
    program = f"""
        import sys
        from pathlib import Path

        # Without `import keras_fcn`, which takes seconds.
        sys.path.insert(0, {str(Path(files.__file__).parent)!r})
        from files import replacing

        with replacing(Path({str(path)!r})) as temporary:
            target = temporary
            if {folder}:
                temporary.mkdir()
                target = temporary / "part.txt"
            target.write_text({content!r})
            print(temporary, flush=True)
            sys.stdin.readline()
            if {folder}:
                (temporary / "other.txt").write_text("rest")
            else:
                target.write_text("whole")
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    return process, Path(process.stdout.readline().strip())


def kill(process):
    process.send_signal(signal.SIGKILL)
    process.communicate()


def finish(process):
    process.communicate("\n")
    assert process.returncode == 0


def test_file_appears_when_it_is_complete(tmp_path):
    path = tmp_path / "deep" / "file.txt"

    with replacing(path) as temporary:
        temporary.write_text("new")
        assert not path.exists()

    assert path.read_text() == "new"
    assert list(path.parent.iterdir()) == [path]


def test_temporary_file_has_the_name_of_the_file(tmp_path):
    # Keras reads the format from the suffix; an ONNX file names its data file.
    with replacing(tmp_path / "model.keras") as temporary:
        temporary.touch()
        assert temporary.name == "model.keras"


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


def test_failure_inside_a_folder_removes_the_folder(tmp_path):
    def half_written():
        with replacing(tmp_path / "model") as temporary:
            (temporary / "deep").mkdir(parents=True)
            (temporary / "deep" / "file.txt").write_text("ne")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        half_written()

    assert list(tmp_path.iterdir()) == []


def test_writer_that_writes_nothing_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError), replacing(tmp_path / "file.txt"):
        pass

    assert list(tmp_path.iterdir()) == []


def test_folder_appears_when_it_is_complete(tmp_path):
    path = tmp_path / "model"

    with replacing(path) as temporary:
        (temporary / "assets").mkdir(parents=True)
        (temporary / "assets" / "labels.json").write_text("{}")
        assert not path.exists()

    assert (path / "assets" / "labels.json").read_text() == "{}"
    assert list(tmp_path.iterdir()) == [path]


def test_folder_that_is_not_empty_is_not_replaced(tmp_path):
    path = tmp_path / "model"
    path.mkdir()
    (path / "old.txt").touch()

    def write():
        with replacing(path) as temporary:
            temporary.mkdir()

    with pytest.raises(OSError, match="not empty"):
        write()

    assert [file.name for file in path.iterdir()] == ["old.txt"]
    assert list(tmp_path.iterdir()) == [path]


def test_files_get_the_usual_permissions(tmp_path):
    # A server that runs as another user reads them.
    old = os.umask(0o022)
    try:
        write_text(tmp_path / "file.txt", "x")
        with replacing(tmp_path / "folder") as temporary:
            temporary.mkdir()
    finally:
        os.umask(old)

    assert (tmp_path / "file.txt").stat().st_mode & 0o777 == 0o644
    assert (tmp_path / "folder").stat().st_mode & 0o777 == 0o755


def test_killed_writer_leaves_the_old_file_and_the_next_write_removes_the_leftover(tmp_path):
    path = tmp_path / "file.txt"
    write_text(path, "old")
    process, leftover = start_writer(path)

    kill(process)

    assert path.read_text() == "old"
    assert leftover.read_text() == "half"
    write_text(path, "new")
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_killed_writer_of_a_folder_leaves_no_folder(tmp_path):
    process, leftover = start_writer(tmp_path / "model", folder=True)

    kill(process)

    assert not (tmp_path / "model").exists()
    assert (leftover / "part.txt").exists()
    # Another file in the same place removes it, too.
    write_text(tmp_path / "file.txt", "new")
    assert list(tmp_path.iterdir()) == [tmp_path / "file.txt"]


def test_file_of_a_live_writer_survives_another_write(tmp_path):
    path = tmp_path / "file.txt"
    process, temporary = start_writer(path)

    write_text(path, "new")
    write_text(tmp_path / "other.txt", "new")

    assert temporary.read_text() == "half"
    assert path.read_text() == "new"
    finish(process)
    assert path.read_text() == "whole"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["file.txt", "other.txt"]


def test_lock_decides_and_not_the_process_id(tmp_path):
    # A leftover whose process id now belongs to another process, this one.
    process, leftover = start_writer(tmp_path / "file.txt")
    kill(process)
    folder = leftover.parent
    reused = folder.with_name(folder.name.replace(str(process.pid), str(os.getpid())))
    folder.rename(reused)
    folder.with_suffix(".lock").rename(reused.with_suffix(".lock"))

    write_text(tmp_path / "file.txt", "new")

    assert not reused.exists()
    assert list(tmp_path.iterdir()) == [tmp_path / "file.txt"]


def test_process_id_is_part_of_the_temporary_name(tmp_path):
    process, temporary = start_writer(tmp_path / "file.txt")

    finish(process)

    assert temporary.parent.name.startswith(f"{process.pid}-")


def test_two_writers_of_one_file_at_once(tmp_path):
    path = tmp_path / "file.txt"
    first, first_temporary = start_writer(path)
    second, second_temporary = start_writer(path)

    assert first_temporary != second_temporary
    finish(second)
    assert path.read_text() == "whole"
    assert first_temporary.read_text() == "half"
    finish(first)

    assert path.read_text() == "whole"
    assert list(tmp_path.iterdir()) == [path]


def test_many_threads_write_one_file(tmp_path):
    # Each makes, locks and removes its folder while others look for leftovers.
    path = tmp_path / "file.txt"
    errors = []

    def write(number):
        try:
            for _ in range(30):
                write_text(path, str(number) * 1000)
                assert len(set(path.read_text())) == 1
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert errors == []
    assert len(path.read_text()) == 1000
    assert list(tmp_path.iterdir()) == [path]


def test_many_threads_write_files_of_one_folder(tmp_path):
    """The folder of the temporary folders is made and removed all the time."""

    def write(number: int) -> None:
        with files.temporary_folder(tmp_path) as folder:
            (folder / "text").write_text(str(number))
            (folder / "text").rename(tmp_path / str(number))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(1000)))

    assert sorted(int(path.name) for path in tmp_path.iterdir()) == list(range(1000))


def test_leftover_stays_where_no_locks_can_be_had(tmp_path, monkeypatch):
    process, leftover = start_writer(tmp_path / "file.txt")
    kill(process)

    def no_locks(*_):
        raise OSError("No locks available")

    monkeypatch.setattr(files.fcntl, "flock", no_locks)
    write_text(tmp_path / "file.txt", "new")

    assert (tmp_path / "file.txt").read_text() == "new"
    assert leftover.read_text() == "half"


def start_holder(path):
    """Returns a process that holds a lock."""
    program = f"""
        import sys
        from pathlib import Path

        sys.path.insert(0, {str(Path(files.__file__).parent)!r})
        from files import locked

        with locked(Path({str(path)!r}), "a test"):
            print("locked", flush=True)
            sys.stdin.readline()
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "locked\n"
    return process


def rejection_of(path):
    """Returns the text of the error of a lock that another holds."""
    with pytest.raises(LockedError) as error, locked(path, "another"):
        pytest.fail("locked twice")
    return str(error.value)


def test_lock_is_held_until_its_owner_ends_and_names_it(tmp_path):
    path = tmp_path / "new" / "lock"
    process = start_holder(path)
    for _ in range(2):  # a refused lock does not harm that of the owner
        assert rejection_of(path).endswith(" (a test).")
        assert f"process {process.pid} on " in rejection_of(path)
    finish(process)
    assert not path.exists()

    with locked(path, "me"):
        assert str(os.getpid()) in path.read_text()
    assert not path.exists()


def test_lock_of_a_killed_process_is_free(tmp_path):
    path = tmp_path / "lock"
    process = start_holder(path)
    kill(process)
    assert path.exists()

    with locked(path, "me"):
        assert str(os.getpid()) in rejection_of(path)


def test_lock_is_free_after_an_error(tmp_path):
    with pytest.raises(ZeroDivisionError), locked(tmp_path / "lock", "me"):
        1 / 0  # noqa: B018
    with locked(tmp_path / "lock", "me"):
        pass


def test_one_of_many_holds_a_lock_that_is_taken_and_removed_all_the_time(tmp_path):
    holders, most, taken = [], [], []

    def work():
        for _ in range(200):
            try:
                with locked(tmp_path / "lock", "a thread"):
                    holders.append(1)
                    most.append(len(holders))
                    holders.pop()
                    taken.append(1)
            except LockedError:
                pass

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert max(most) == 1 and len(taken) > 8
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_locked_where_no_locks_can_be_had(tmp_path, monkeypatch):
    def no_locks(*_):
        raise OSError("No locks available")

    monkeypatch.setattr(files.fcntl, "flock", no_locks)
    with locked(tmp_path / "lock", "me"), locked(tmp_path / "lock", "me again"):
        pass


def test_link_stays_a_link(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    target = tmp_path / "elsewhere" / "target.txt"
    target.write_text("old")
    link = tmp_path / "link.txt"
    link.symlink_to(target)

    write_text(link, "new")

    assert link.is_symlink()
    assert target.read_text() == "new"


def test_pipe_is_written_to_directly(tmp_path):
    # As `--json /dev/stdout` does.
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    received = []
    reader = threading.Thread(target=lambda: received.append(pipe.read_text()))
    reader.start()

    write_text(pipe, "new")

    reader.join()
    assert received == ["new"]
    assert pipe.is_fifo()


def test_all_is_flushed_to_the_disk(tmp_path, monkeypatch):
    flushed = []
    fsync = os.fsync

    def recorded(descriptor):
        flushed.append(os.fstat(descriptor).st_ino)
        fsync(descriptor)

    monkeypatch.setattr(files.os, "fsync", recorded)
    write_text(tmp_path / "file.txt", "new")
    with replacing(tmp_path / "model") as temporary:
        (temporary / "assets").mkdir(parents=True)
        (temporary / "assets" / "a.txt").touch()

    names = ("file.txt", "model/assets/a.txt", "model/assets", "model", "")
    assert {(tmp_path / name).stat().st_ino for name in names} <= set(flushed)


def test_several_files_share_a_temporary_folder(tmp_path):
    with temporary_folder(tmp_path) as folder:
        for name in ("a.txt", "b.txt"):
            (folder / name).write_text(name)
        (folder / "rest.txt").touch()
        for name in ("a.txt", "b.txt"):
            move(folder / name, tmp_path / name)

    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.txt", "b.txt"]


def test_contents(tmp_path):
    write_text(tmp_path / "text", "naïve")
    write_bytes(tmp_path / "bytes", b"\x00\xff")
    write_json(tmp_path / "json", {"a": [1, None]})

    assert (tmp_path / "text").read_bytes() == b"na\xc3\xafve"
    assert (tmp_path / "bytes").read_bytes() == b"\x00\xff"
    assert json.loads((tmp_path / "json").read_text()) == {"a": [1, None]}


def test_text_in_another_encoding_is_named(tmp_path):
    path = tmp_path / "classes.txt"
    path.write_bytes("Straße\nBäume\n".encode("cp1252"))

    with pytest.raises(ValueError, match=r"classes\.txt: .*byte 5 is 0xdf"):
        files.read_text(path)


@pytest.mark.parametrize("name", ["mask.png", "über.png", "two\nlines.png", "'\"\\.png", " .png"])
def test_written_files_are_recognized_by_name_and_content(tmp_path, name):
    ours, same = tmp_path / name, tmp_path / "same content.png"
    write_text(ours, "predicted")
    write_text(same, "predicted")
    WrittenFiles().add(ours)

    assert WrittenFiles().has(ours)
    assert WrittenFiles().names(tmp_path) == {name}
    WrittenFiles().check([ours, tmp_path / "absent.png", tmp_path])
    with pytest.raises(FileExistsError, match="same content.png exists"):
        WrittenFiles().check([ours, same])
    WrittenFiles().check([ours, same], overwrite=True)
    write_text(ours, "corrected")
    assert not WrittenFiles().has(ours)
    write_text(ours, "predicted")
    assert WrittenFiles().has(ours)


def test_names_that_are_no_text_are_recorded(tmp_path):
    path = tmp_path / os.fsdecode(b"caf\xe9.png")
    path.write_text("predicted")

    WrittenFiles().add(path)

    assert WrittenFiles().has(path)


def test_the_first_foreign_files_are_named_and_all_are_counted(tmp_path):
    paths = [tmp_path / f"{number:02}.png" for number in range(12)]
    for path in paths:
        path.write_text("of the user")

    with pytest.raises(FileExistsError) as caught:
        WrittenFiles().check(paths, option="--json")

    text = str(caught.value)
    assert text.startswith("12 files exist ") and "02.png and 9 more." in text
    assert "03.png" not in text and "Choose another --json" in text and "--overwrite" in text


def test_of_a_link_the_file_it_points_to_is_recorded(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a.png").write_text("predicted")
    (tmp_path / "b.png").symlink_to(tmp_path / "real" / "a.png")
    (tmp_path / "dangling.png").symlink_to(tmp_path / "absent")

    WrittenFiles().check([tmp_path / "dangling.png"])
    WrittenFiles().add(tmp_path / "b.png")

    assert WrittenFiles().has(tmp_path / "real" / "a.png")
    assert not (tmp_path / RECORD).exists()


def test_what_is_no_file_is_not_recorded(tmp_path):
    WrittenFiles().add(tmp_path)
    WrittenFiles().add(Path("/dev/null"))
    WrittenFiles().check([Path("/dev/null"), tmp_path])

    assert list(tmp_path.iterdir()) == []
    assert not Path("/dev", RECORD).exists()


def test_a_record_does_not_grow_by_equal_results(tmp_path):
    path = tmp_path / "a.json"
    for content in ("1", "2", "1", "2", "2"):
        write_text(path, content)
        WrittenFiles().add(path)

    assert len((tmp_path / RECORD).read_text().splitlines()) == 2


def test_processes_record_in_a_folder_at_once(tmp_path):
    program = f"""
        import sys
        from pathlib import Path
        sys.path.insert(0, {str(Path(files.__file__).parent)!r})
        from files import WrittenFiles

        written = WrittenFiles()
        for number in range(300):
            path = Path({str(tmp_path)!r}) / f"{{sys.argv[1]}}-{{number}}.txt"
            path.write_text(path.name)
            written.add(path)
    """
    command = [sys.executable, "-c", textwrap.dedent(program)]
    writers = [subprocess.Popen([*command, name]) for name in "abc"]

    assert [writer.wait() for writer in writers] == [0, 0, 0]
    written = WrittenFiles()
    assert all(written.has(path) for path in tmp_path.glob("*.txt"))
    assert len(written.names(tmp_path)) == 900


def test_a_record_that_cannot_be_written_makes_files_the_users(tmp_path):
    (tmp_path / RECORD).mkdir()
    path = tmp_path / "a.png"
    path.write_text("predicted")

    WrittenFiles().add(path)

    with pytest.raises(FileExistsError, match="a.png exists"):
        WrittenFiles().check([path])


def test_names_that_cannot_be_are_left_to_the_writing(tmp_path):
    WrittenFiles().check([tmp_path / ("n" * 300)])


def test_a_file_that_may_not_be_read_is_the_users(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    path.write_text("predicted")
    WrittenFiles().add(path)

    def forbidden(*arguments):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(files, "_sha256", forbidden)
    with pytest.raises(FileExistsError, match="a.png exists"):
        WrittenFiles().check([path])


def test_errors_have_the_path_that_is_written(tmp_path, monkeypatch):
    path = tmp_path / "a.png"

    make = Path.mkdir

    def forbidden(self, *arguments, **options):
        if self.name.startswith(".incomplete-"):
            raise PermissionError(13, "Permission denied", str(self))
        make(self, *arguments, **options)

    monkeypatch.setattr(Path, "mkdir", forbidden)
    with pytest.raises(PermissionError) as caught:
        write_text(path, "x")

    assert caught.value.filename == str(path)
