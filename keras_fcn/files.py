"""Writing files and folders so that they are complete or do not exist.

This package writes every file to a temporary folder beside the target first, flushes it to the
disk, and renames it. A run that is killed in between leaves its temporary folder behind; the next
one that writes to the same place removes it. It is not removed while its owner is alive: the
owner holds a lock, which the system releases when the process ends for any reason. (The
process id is part of the name for information only, because ids are reused.)

Commands write where users have files of their own. So each folder in which a command wrote has a
hidden file, `RECORD`, with the names and checksums of what it wrote there. An existing file is
replaced only if its checksum is in it: not if it was made by someone else, or was edited since.
"""

import errno
import hashlib
import json
import os
import platform
import secrets
import shutil
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock
from typing import Any

if sys.platform != "win32":  # where there are no such locks, and leftovers stay
    import fcntl

# One line of JSON for each file: its name and its SHA-256. `export/serving/client.py`, which has
# no other file of this package, writes and reads it, too.
RECORD = ".keras_fcn_files"
_NUM_NAMED = 3


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yields a temporary path to write to, which is renamed to `path` at the end.

    The old file stays until the new one is complete and on the disk, so that neither a crash nor
    a power failure leaves a partial file. If an exception is raised, `path` stays as it was and
    what was written is removed. The temporary path has the name of `path`, because Keras and
    Pillow take the format from its suffix. It does not exist yet: create a file or a folder
    there.

    A link stays a link: the file that it points to is replaced. Pipes and devices, such as
    `/dev/stdout`, are written to directly.

    Args:
        path: File or folder to write. Its parent is created if missing. A folder must not exist
            yet.

    Raises:
        OSError: If it cannot be written, or a folder of this name exists and is not empty.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "notes.txt"
        >>> with replacing(path) as temporary:
        ...     _ = temporary.write_text("done")
        ...     print(path.exists())
        False
        >>> path.read_text()
        'done'
    """
    if path.exists() and not (path.is_file() or path.is_dir()):
        yield path
        return
    target = path.resolve()
    with _naming(path), _temporary_folder(target.parent) as folder:
        yield folder / path.name
        move(folder / path.name, target)


def read_text(path: Path) -> str:
    """Returns the text of a UTF-8 file, without a byte order mark.

    Raises:
        ValueError: If it is no UTF-8. The text has the path.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path}: this is no text in UTF-8 (byte {error.start + 1} is "
            f"{error.object[error.start]:#04x}). Save it as UTF-8."
        ) from error


def write_text(path: Path, text: str) -> None:
    """Writes a text file, UTF-8, as `replacing` does."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Writes a file as `replacing` does."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def write_json(path: Path, value: Any) -> None:
    """Writes a value as JSON, as `replacing` does."""
    write_text(path, json.dumps(value, indent=1) + "\n")


class WrittenFiles:
    """The files that commands wrote, by the records in their folders.

    Each folder is read once: make one object for one run of a command. Several threads may add
    to it.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "mask.png"
        >>> write_text(path, "predicted")
        >>> WrittenFiles().add(path)
        >>> WrittenFiles().check([path])
        >>> write_text(path, "corrected")
        >>> WrittenFiles().check([path])
        Traceback (most recent call last):
        FileExistsError: ...mask.png exists, and keras-fcn did not write it, or it was changed ...
    """

    def __init__(self) -> None:
        # The checksums of all that was written, by folder and name.
        self._digests: dict[Path, dict[str, set[str]]] = {}
        self._lock = Lock()

    def check(
        self, paths: Iterable[Path], *, overwrite: bool = False, option: str = "--output"
    ) -> None:
        """Raises an error if a file exists that no command wrote, or that was edited since.

        To be called before the work whose results are written.

        Args:
            paths: The files to be written. Those that do not exist, folders, pipes and devices are
                accepted.
            overwrite: Whether to accept all others, too.
            option: The option of the command that names the files, for the text.

        Raises:
            FileExistsError: The text contains the first of the files, and how many there are.
        """
        if overwrite:
            return
        foreign = [path for path in paths if _is_file(path) and not self.has(path)]
        if not foreign:
            return
        named = ", ".join(map(str, foreign[:_NUM_NAMED]))
        if len(foreign) == 1:
            what = f"{named} exists, and keras-fcn did not write it, or it was changed afterwards"
        else:
            more = len(foreign) - _NUM_NAMED
            what = (
                f"{len(foreign):,} files exist that keras-fcn did not write, or that were changed "
                f"afterwards: {named}{f' and {more:,} more' if more > 0 else ''}"
            )
        raise FileExistsError(
            f"{what}. Nothing was written. Choose another {option}, or replace "
            f"{'it' if len(foreign) == 1 else 'them'} by --overwrite."
        )

    def add(self, path: Path, content: Path | None = None) -> None:
        """Records that this package wrote a file, which it may therefore replace later.

        If that cannot be recorded, `check` takes the file for the user's.

        Args:
            path: The file. Of a link, that which it points to is recorded. Folders, pipes and
                devices are not recorded.
            content: Where its content is, if it does not have its name yet. Recorded before it is
                renamed, it is recognized even if the process is killed in between.
        """
        source = content or path
        if not source.is_file():
            return
        target = path.resolve()
        digest = _sha256(source)
        with self._lock:
            known = self._of(target.parent).setdefault(target.name, set())
            if digest in known:
                return
            known.add(digest)
            _add_to_record(target, digest)

    def names(self, folder: Path) -> set[str]:
        """Returns the names of the files that commands wrote in a folder, edited ones included."""
        return set(self._of(folder.resolve()))

    def has(self, path: Path) -> bool:
        """Returns whether a file is as a command wrote it."""
        target = path.resolve()
        digests = self._of(target.parent).get(target.name)
        if not digests or not _is_file(target):
            return False
        try:
            return _sha256(target) in digests
        except OSError:  # it may not be read
            return False

    def _of(self, folder: Path) -> dict[str, set[str]]:
        if folder not in self._digests:
            digests: dict[str, set[str]] = {}
            with suppress(OSError):  # there is no such file
                text = (folder / RECORD).read_text(encoding="utf-8", errors="replace")
                for line in text.splitlines():
                    with suppress(ValueError, TypeError):  # a line that was cut off
                        name, digest = json.loads(line)
                        digests.setdefault(name, set()).add(digest)
            self._digests[folder] = digests
        return self._digests[folder]


def record(path: Path, content: Path) -> None:
    """Records a file as `WrittenFiles.add` does, without reading what the folder's record has.

    For many processes that write millions of new files into one folder.
    """
    _add_to_record(path.resolve(), _sha256(content))


def _add_to_record(target: Path, digest: str) -> None:
    with suppress(OSError), (target.parent / RECORD).open("ab", buffering=0) as file:
        # A short line in one call, so that other processes can add theirs meanwhile.
        file.write(json.dumps([target.name, digest]).encode() + b"\n")


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name that is too long, of which writing is the error
        return False


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def temporary_folder(parent: Path) -> Iterator[Path]:
    """Yields a new empty folder inside `parent`, which is removed at the end.

    For several files at once, or where the target's name is known only at the end; elsewhere use
    `replacing`. Use `move` to give the target its name.

    Args:
        parent: Where the target will be, so that both are on one disk. It is created if missing.
    """
    with _naming(parent), _temporary_folder(parent) as folder:
        yield folder


@contextmanager
def _temporary_folder(parent: Path) -> Iterator[Path]:
    parent.mkdir(parents=True, exist_ok=True)
    container = _container(parent)
    _remove_leftovers(container)
    folder, lock = _locked_folder(container)
    try:
        folder.mkdir()
        yield folder
    finally:
        os.close(lock)
        _remove(folder)
        with suppress(OSError):  # not empty: another process writes, too
            container.rmdir()


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Gives errors the path that is written.

    Those of `write` on a full disk have none, and others have that of the temporary folder.
    """
    try:
        yield
    except Exception as error:
        code = disk_error(error)
        if code is None and isinstance(error, OSError) and error.errno is not None:
            code = error.errno if ".incomplete-" in str(error.filename) else None
        if code is None or (isinstance(error, OSError) and error.filename == str(path)):
            raise
        named = error.filename if isinstance(error, OSError) else None
        if named and ".incomplete-" in str(named):  # the temporary path
            named = None
        raise OSError(code, os.strerror(code), named or str(path)) from error


def disk_error(error: BaseException) -> int | None:
    """Returns the number of an error that says that a disk or quota is full, else `None`.

    HDF5, TensorFlow and others have it in their text only.
    """
    codes = [getattr(errno, name, None) for name in ("ENOSPC", "EDQUOT", "EFBIG")]
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno if error.errno in codes else None
    text = str(error)
    return next((code for code in codes if code and os.strerror(code) in text), None)


def move(temporary: Path, path: Path) -> None:
    """Flushes a file or folder to the disk, then renames it.

    Raises:
        OSError: If `path` is a folder that is not empty.
    """
    for folder, _, files in os.walk(temporary):
        for name in files:
            _flush(Path(folder) / name)
        _flush(Path(folder))
    if temporary.is_file():
        _flush(temporary)
    temporary.replace(path)
    _flush(path.parent)


class LockedError(OSError):
    """A file is locked by another process."""


@contextmanager
def locked(path: Path, owner: str) -> Iterator[None]:
    """Holds a lock file, which no other process, and no other call in this one, holds meanwhile.

    The system releases the lock when the process ends for any reason; a lock file that a killed
    process left is taken over. At the end the file is removed. Where the file system has no
    locks (and on Windows), nothing is locked.

    Args:
        path: The lock file. Its folder is created if missing.
        owner: What to tell others about this process, beside its number and computer.

    Raises:
        LockedError: If the file is locked. The text contains process, computer and `owner`.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "lock"
        >>> with locked(path, "a training"):
        ...     with locked(path, "another training"):
        ...         pass
        Traceback (most recent call last):
        keras_fcn.files.LockedError: ...lock is locked by process ... on ... (a training).
        >>> path.exists()
        False
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if sys.platform == "win32":
        yield
        return
    lock = _locked_file(path)
    try:
        os.ftruncate(lock, 0)
        os.write(lock, f"process {os.getpid()} on {platform.node()} ({owner})".encode())
        yield
    finally:
        path.unlink(missing_ok=True)  # before the lock is released: nobody holds another one
        os.close(lock)


def _locked_file(path: Path) -> int:
    """Returns the open file of this path, locked; raises LockedError if another holds it."""
    while True:
        lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        if not _lock_at_once(lock):
            holder = os.read(lock, 1000).decode(errors="replace") or "another process"
            os.close(lock)
            raise LockedError(f"{path} is locked by {holder}.")
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(lock), path.stat()):
                return lock
        os.close(lock)  # its owner has just removed it


def _lock_at_once(lock: int) -> bool:
    """Locks an open file, where that is possible; returns False if another holds the lock."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        pass  # the file system has no locks
    return True


def leftovers(parent: Path) -> list[Path]:
    """Returns the temporary folders inside a folder that killed processes of this user left."""
    with _unlocked(_container(parent)) as folders:
        return folders


def remove_leftovers(parent: Path) -> None:
    """Removes what `leftovers` returns, as `temporary_folder` does first."""
    _remove_leftovers(_container(parent))
    with suppress(OSError):  # not there, or another process writes
        _container(parent).rmdir()


def _container(parent: Path) -> Path:
    # One per user: in a shared folder a user cannot write to, or remove, that of another.
    return parent / f".incomplete-{_user_id()}"


def _locked_folder(container: Path) -> tuple[Path, int]:
    """Returns the path of a folder to be made, and the open file by which it is locked."""
    while True:
        with suppress(FileExistsError):  # `exist_ok` fails if another thread removes it meanwhile
            container.mkdir()
        folder = container / f"{os.getpid()}-{secrets.token_hex(4)}"
        try:
            lock = os.open(_lock_file(folder), os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        except FileNotFoundError:
            continue  # another process has just removed the container
        _acquire(lock, wait=True)
        if _lock_file(folder).exists():
            return folder, lock
        os.close(lock)  # another process took it for a leftover before it was locked


def _remove_leftovers(container: Path) -> None:
    with _unlocked(container) as folders:
        for folder in folders:
            _remove(folder)


@contextmanager
def _unlocked(container: Path) -> Iterator[list[Path]]:
    """Yields the folders that no process has locked, locked by this one meanwhile."""
    folders, locks = [], []
    try:
        for path in _lock_files(container):
            with suppress(OSError):  # removed meanwhile
                locks.append(os.open(path, os.O_RDWR))
                if _acquire(locks[-1], wait=False):
                    folders.append(path.with_suffix(""))
        yield folders
    finally:
        for lock in locks:
            os.close(lock)


def _lock_files(container: Path) -> list[Path]:
    try:
        return list(container.glob("*.lock"))
    except FileNotFoundError:  # removed meanwhile
        return []


def _remove(folder: Path) -> None:
    # The lock's file comes last: as long as there is a folder, it can be found by it.
    shutil.rmtree(folder, ignore_errors=True)
    _lock_file(folder).unlink(missing_ok=True)


def _lock_file(folder: Path) -> Path:
    return folder.with_suffix(".lock")


def _acquire(lock: int, wait: bool) -> bool:
    """Returns whether an open file could be locked; on some file systems none can."""
    if sys.platform == "win32":
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _user_id() -> int:
    return 0 if sys.platform == "win32" else os.getuid()


def _flush(path: Path) -> None:
    is_folder = path.is_dir()
    try:
        descriptor = os.open(path, os.O_RDONLY if is_folder else os.O_RDWR)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError:
        if not is_folder:  # which not every system can flush
            raise


def first_line(error: Exception) -> str:
    r"""Returns the first line of an error's text, or its kind if it has none.

    >>> first_line(EOFError()), first_line(ValueError("cut\nat byte 3"))
    ('EOFError', 'cut')
    """
    return (str(error).strip() or type(error).__name__).splitlines()[0]
