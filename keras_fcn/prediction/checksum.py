"""Checksums in exported models, which tell a damaged file from a whole one.

A flipped bit in a `.tflite` or `.onnx` file is noticed by no runtime: the network predicts
something else. So an exported model contains the SHA-256 of all its other bytes:

* a `.tflite` at its end, in the comment of the zip archive that it is, too;
* a `.onnx` at its end, as the entry `sha256` of the model's metadata;
* a SavedModel in `assets/sha256.json`, one for each of its files.
"""

import hashlib
import json
from pathlib import Path
from zipfile import ZipFile

# What comes before the 64 hexadecimal digits at the end of a file.
_ZIP_COMMENT = b"sha256:"
# In the wire format of protocol buffers: field 14 of the model, `metadata_props`, 74 bytes long,
# of a key of 6 bytes and a value of 64.
_ONNX_ENTRY = b"\x72\x4a\x0a\x06sha256\x12\x40"
_MARKERS = {".tflite": _ZIP_COMMENT, ".onnx": _ONNX_ENTRY}
_DIGITS = 64
_BLOCK = 1 << 20

LIST_FILE = "sha256.json"


class ChecksumError(ValueError):
    """An exported model is not as it was written."""


def sign(path: Path) -> None:
    """Adds the checksum to a complete `.tflite`, `.onnx` or SavedModel folder.

    Args:
        path: The file, which must not have one yet; a `.tflite` is a zip archive, too. Or the
            folder that contains `saved_model.pb`.
    """
    if path.is_dir():
        (path / "assets").mkdir(exist_ok=True)
        digests = {name: _digest(path / name) for name in _files_in(path)}
        (path / "assets" / LIST_FILE).write_text(json.dumps(digests, indent=1), encoding="utf-8")
        return
    if path.suffix == ".tflite":
        with ZipFile(path, "a") as archive:
            archive.comment = _ZIP_COMMENT + bytes(_DIGITS)
        with path.open("r+b") as file:
            file.truncate(path.stat().st_size - len(_ZIP_COMMENT) - _DIGITS)
    digest = _digest(path)
    with path.open("ab") as file:
        file.write(_MARKERS[path.suffix] + digest.encode())


def check(path: Path) -> None:
    """Raises ChecksumError unless every byte of an exported model is as it was written."""
    if path.is_dir():
        _check_folder(path)
        return
    marker = _MARKERS[path.suffix]
    end = path.stat().st_size - len(marker) - _DIGITS
    with path.open("rb") as file:
        file.seek(max(0, end))
        entry = file.read()
    if end < 0 or not entry.startswith(marker):
        raise _changed(path, "its end is not the checksum")
    if _digest(path, end) != entry.removeprefix(marker).decode(errors="replace"):
        raise _changed(path, "its bytes do not have the SHA-256 at its end")


def _check_folder(folder: Path) -> None:
    try:
        digests = json.loads((folder / "assets" / LIST_FILE).read_text(encoding="utf-8"))
        expected = {str(name): str(digest) for name, digest in digests.items()}
    except (OSError, ValueError, AttributeError) as error:
        raise _changed(folder, f"assets/{LIST_FILE} cannot be read") from error
    for name in _files_in(folder):
        # Further requests for the warm-up of a server, and hidden files, change no prediction.
        is_inert = name.startswith(("assets.extra/", ".")) or "/." in name
        if not (name in expected or name == f"assets/{LIST_FILE}" or is_inert):
            raise _changed(folder, f"the file {name} was added")
    for name, digest in expected.items():
        if not (folder / name).is_file():
            raise _changed(folder, f"the file {name} is missing")
        if _digest(folder / name) != digest:
            raise _changed(folder, f"{name} does not have its SHA-256")


def _files_in(folder: Path) -> list[str]:
    """Returns the names of the files of a SavedModel."""
    files = [file for file in folder.rglob("*") if file.is_file()]
    return sorted(file.relative_to(folder).as_posix() for file in files)


def _digest(path: Path, end: int | None = None) -> str:
    """Returns the SHA-256 of a file, or of its first bytes."""
    digest = hashlib.sha256()
    left = path.stat().st_size if end is None else end
    with path.open("rb") as file:
        while left > 0 and (block := file.read(min(left, _BLOCK))):
            digest.update(block)
            left -= len(block)
    return digest.hexdigest()


def _changed(path: Path, reason: str) -> ChecksumError:
    return ChecksumError(
        f"{path} is not as `keras-fcn export` wrote it: {reason}. It is damaged or cut off, "
        "or another program wrote or changed it. Copy it again from where it is whole, or export "
        "it again."
    )
