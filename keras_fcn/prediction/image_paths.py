"""The images that files, folders and patterns name."""

import glob
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from keras_fcn.data.bands import NPY
from keras_fcn.datasets.folder_names import is_leftover, picture_suffixes
from keras_fcn.files import WrittenFiles


def find_images(
    inputs: Iterable[str | Path],
    *,
    with_arrays: bool = False,
    on_left_out: Callable[[str], object] | None = None,
) -> list[Path]:
    """Returns the image files that files, folders and patterns name, each once.

    What commands of this package wrote, and what systems leave in folders, is left out unless it
    is named itself.

    Args:
        inputs: Files, whether they exist or not; folders, for the images directly in them, of all
            formats that are read for training; and patterns with `*`, `?`, `[...]`, `**`.
        with_arrays: Whether the `.npy` files in a folder are images.
        on_left_out: Called for each folder and pattern of which something was left out, with a
            sentence.

    Returns:
        The files: in the order of `inputs`, sorted within a folder or pattern.

    Raises:
        ValueError: If a folder or pattern yields no image.
    """
    files: dict[Path, Path] = {}
    for name in inputs:
        suffixes = picture_suffixes() | ({NPY} if with_arrays else set())
        for path in _files_of(name, suffixes, on_left_out or (lambda _: None)):
            files.setdefault(path.absolute(), path)
    return list(files.values())


def _files_of(
    name: str | Path, suffixes: frozenset[str], on_left_out: Callable[[str], object]
) -> list[Path]:
    path = Path(name)
    if path.is_dir():
        found = [file for file in sorted(path.iterdir()) if not is_leftover(file.name)]
        files, left_out = _images_among(found, suffixes)
        if not files:
            raise ValueError(
                f"There is no image in the folder {path}{left_out and f', only {left_out}'}. "
                "Folders below it are not searched: for them give a pattern such as "
                f"'{path}/**/*.jpg'."
            )
    elif path.exists() or not glob.has_magic(str(name)):
        return [path]
    else:
        found = [file for file in sorted(_matches(path.parts)) if not is_leftover(file.name)]
        files, left_out = _images_among(found, None)
        if not files:
            written = f" that keras-fcn did not write: there are {left_out}" if left_out else ""
            raise ValueError(f"No file matches the pattern {name}{written}.")
    if left_out:
        on_left_out(f"Left out of {name}: {left_out}.")
    return files


def _images_among(paths: Sequence[Path], suffixes: frozenset[str] | None) -> tuple[list[Path], str]:
    """Returns those of the contents of a folder, or matches of a pattern, that are predicted.

    Args:
        paths: The files and folders.
        suffixes: Of the images in a folder; `None` for a pattern, which was meant as it is.

    Returns:
        The files, and a text with what was left out; empty if nothing was.
    """
    written = WrittenFiles()
    images, num_folders, num_written, num_broken = [], 0, 0, 0
    others: Counter[str] = Counter()
    for path in paths:
        suffix = path.suffix.lower()
        if path.is_dir():
            num_folders += suffixes is not None
        elif path.name in written.names(path.parent):
            num_written += 1
        elif suffixes is not None and suffix not in suffixes:
            others[suffix or "without a suffix"] += 1
        elif path.is_file():
            images.append(path)
        else:
            num_broken += 1
    parts = [f"{count:,} {suffix}" for suffix, count in sorted(others.items())]
    if num_written:
        parts.append(f"{num_written:,} written by keras-fcn")
    if num_broken:
        parts.append(f"{num_broken:,} link{'s' * (num_broken > 1)} to no file")
    if num_folders:
        parts.append(f"{num_folders:,} folder{'s' * (num_folders > 1)} (not searched)")
    return images, ", ".join(parts)


def _matches(pattern: Sequence[str]) -> Iterator[Path]:
    """Yields what matches the parts of a pattern, through each folder once.

    `glob` itself follows links to folders above 40 times, and two of them without end.
    """
    if "**" not in pattern:
        # `Path.glob` takes no absolute pattern.
        yield from map(Path, glob.glob(str(Path(*pattern))))  # noqa: PTH207
        return
    position = pattern.index("**")
    rest = pattern[position + 1 :] or ("*",)
    seen: set[Path] = set()
    for base in sorted(_matches(pattern[:position] or (".",))):
        for folder in _folders(base, seen):
            yield from _matches((*map(glob.escape, folder.parts), *rest))


def _folders(base: Path, seen: set[Path]) -> Iterator[Path]:
    """Yields a folder and those below that are neither hidden nor seen before."""
    if not base.is_dir() or base.resolve() in seen:
        return
    seen.add(base.resolve())
    yield base
    for path in sorted(base.iterdir()):
        if not is_leftover(path.name):
            yield from _folders(path, seen)
