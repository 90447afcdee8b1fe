"""Files on this machine's disks, in object stores, and wherever else pyarrow or fsspec reads."""

import glob
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from keras_fcn.data.bands import TIFF_SUFFIXES
from keras_fcn.datasets.folder_names import is_leftover, picture_suffixes
from keras_fcn.files import record, replacing
from keras_fcn.prediction.image_paths import find_images

# Where a file appears under its name when all of it was sent, or not at all.
_ATOMIC = ("s3", "gcs")


def open_storage(address: str) -> tuple[Any, str]:
    """Returns the `pyarrow.fs.FileSystem` of a path or URL, and the path in it.

    Args:
        address: A path of this machine, or a URL that pyarrow (`s3://`, `gs://`, `hdfs://`,
            `abfs://`, `file://`) or else fsspec knows.

    Raises:
        ValueError: If neither knows such URLs, or a package for them is missing.

    Example:
        >>> filesystem, path = open_storage("file:///photos/a.jpg")
        >>> filesystem.type_name, path
        ('local', '/photos/a.jpg')
    """
    import pyarrow.fs
    from fsspec.core import url_to_fs

    if not is_url(address):
        return pyarrow.fs.LocalFileSystem(), Path(address).absolute().as_posix()
    if address.startswith("s3://"):  # so that a file is sent by one request
        address += ("&" if "?" in address else "?") + "allow_delayed_open=true"
    with suppress(pyarrow.ArrowInvalid, NotImplementedError):  # not known, or not compiled in
        filesystem, path = pyarrow.fs.FileSystem.from_uri(address)
        return filesystem, path
    try:
        filesystem, path = url_to_fs(address)
    except (ImportError, ValueError) as error:
        raise ValueError(f"{address} cannot be opened: {error}") from error
    return pyarrow.fs.PyFileSystem(pyarrow.fs.FSSpecHandler(filesystem)), path


def is_url(address: str) -> bool:
    """Returns whether a text is a URL, not a path of this machine."""
    return "://" in address


def is_local(filesystem: Any) -> bool:
    """Returns whether a filesystem is that of this machine."""
    return filesystem.type_name == "local"


def find_stored_images(
    inputs: Iterable[str], on_left_out: Callable[[str], object]
) -> tuple[Any, list[str]]:
    """Returns the image files that paths and URLs of files, folders and patterns name, each once.

    The rules are those of `find_images`. TIFF files are left out, of which plain `predict` makes
    other files, and masks in object stores are images, as nothing records who wrote them.

    Args:
        inputs: Paths or URLs, all in one place. In a URL `?` begins its options, and a pattern has
            `*`, `[...]` and `**` only.
        on_left_out: Called for each input of which something was left out, with a sentence.

    Returns:
        Their `pyarrow.fs.FileSystem`, and the paths in it.

    Raises:
        ValueError: If an input yields no image, or the inputs are in several places.
    """
    filesystem: Any = None
    paths: dict[str, None] = {}
    for name in inputs:
        address, query = name, ""
        if is_url(name):
            address, mark, options = name.partition("?")
            query = mark + options
        parts = address.split("/")
        magic = next((i for i, part in enumerate(parts) if glob.has_magic(part)), len(parts))
        place, folder = open_storage("/".join(parts[:magic]) + query)
        if filesystem is not None and place != filesystem:
            raise ValueError(
                f"All images of one call must be in one place. Received: {', '.join(inputs)}."
            )
        filesystem = place
        if is_local(place):
            pattern = Path(folder, *parts[magic:]) if is_url(name) else name
            # `absolute` keeps links, which `find_images` follows.
            found = [
                p.absolute().as_posix() for p in find_images([pattern], on_left_out=on_left_out)
            ]
        else:
            found = _stored_images(place, folder, parts[magic:], name, on_left_out)
        tiffs = {path for path in found if path.lower().endswith(TIFF_SUFFIXES)}
        if len(tiffs) == len(found):
            raise ValueError(f"{name}: {_NO_TIFFS}")
        if tiffs:
            on_left_out(f"Left out of {name}: {len(tiffs):,} TIFF files. {_NO_TIFFS}")
        paths.update(dict.fromkeys(path for path in found if path not in tiffs))
    return filesystem, list(paths)


_NO_TIFFS = "TIFF files are predicted without `--engine ray`, which keeps their georeference."


def _stored_images(
    filesystem: Any,
    folder: str,
    pattern: list[str],
    name: str,
    on_left_out: Callable[[str], object],
) -> list[str]:
    """Returns what one URL names that is not on this machine, as `find_images` does."""
    from fsspec.implementations.arrow import ArrowFSWrapper
    from pyarrow.fs import FileSelector, FileType

    if pattern:
        matches = ArrowFSWrapper(filesystem).glob("/".join([folder.rstrip("/"), *pattern]))
        found = [path for path in sorted(matches) if not is_leftover(path.rpartition("/")[2])]
        if not found:
            raise ValueError(f"No file matches the pattern {name}.")
        return found
    kind = filesystem.get_file_info(folder).type
    if kind == FileType.NotFound:
        raise ValueError(f"There is nothing at {name}.")
    if kind == FileType.File:
        return [folder]
    files = [
        info
        for info in filesystem.get_file_info(FileSelector(folder))
        if info.type == FileType.File and not is_leftover(info.base_name)
    ]
    suffixes = picture_suffixes()
    found = sorted(info.path for info in files if Path(info.path).suffix.lower() in suffixes)
    if not found:
        raise ValueError(
            f"There is no image in {name}. Folders below it are not searched: for them give a "
            f"pattern such as '{name.rstrip('/')}/**/*.jpg'."
        )
    if len(found) < len(files):
        on_left_out(f"Left out of {name}: {len(files) - len(found):,} files that are no images.")
    return found


def files_in(filesystem: Any, folder: str, *, recursive: bool) -> set[str]:
    """Returns the paths of the files in a folder; none if it does not exist."""
    from pyarrow.fs import FileSelector, FileType

    selector = FileSelector(folder, recursive=recursive, allow_not_found=True)
    return {info.path for info in filesystem.get_file_info(selector) if info.type == FileType.File}


def missing_of(filesystem: Any, paths: Collection[str]) -> list[str]:
    """Returns those of some paths at which there is nothing."""
    from pyarrow.fs import FileType

    infos = filesystem.get_file_info(list(paths))
    return [info.path for info in infos if info.type == FileType.NotFound]


def read_stored(filesystem: Any, path: str) -> bytes:
    """Returns the content of a file."""
    with filesystem.open_input_stream(path, compression=None) as file:
        return bytes(file.read())


def write_stored(filesystem: Any, path: str, content: bytes) -> None:
    """Writes a file that does not exist, so that it is complete or not there.

    On this machine it is written as all files are, and recorded (`keras_fcn.files`). In S3 and
    Google's store a file appears when all of it was sent. Elsewhere it has a temporary name first,
    always the same for one file, which a later attempt replaces.

    Raises:
        OSError: If it cannot be written.
    """
    if is_local(filesystem):
        with replacing(Path(path)) as temporary:
            temporary.write_bytes(content)
            record(Path(path), temporary)
        return
    if filesystem.type_name in _ATOMIC:
        _put(filesystem, path, content)
        return
    folder, _, name = path.rpartition("/")
    incomplete = f"{folder}/.incomplete-{name}"
    filesystem.create_dir(folder, recursive=True)
    _put(filesystem, incomplete, content)
    filesystem.move(incomplete, path)


def _put(filesystem: Any, path: str, content: bytes) -> None:
    with filesystem.open_output_stream(path, compression=None) as file:
        file.write(content)
