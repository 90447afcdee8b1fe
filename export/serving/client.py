"""Requests the masks of image files from TensorFlow Serving, by REST or gRPC.

This file runs alone: `python client.py --help`. It needs Python 3.11, and for gRPC the package
grpcio, but neither TensorFlow nor Keras.
"""

import argparse
import base64
import contextlib
import hashlib
import json
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

SIGNATURE = "encoded"
# Name of an output -> one file per image of the request.
Masks = dict[str, list[bytes]]

# The hidden file of a folder with the names and SHA-256 of what was written there, as of
# `keras-fcn predict`: one line of JSON for each.
RECORD = ".keras_fcn_files"

DT_STRING = 7  # TensorFlow's number for tensors of byte strings


class RequestError(Exception):
    """The server could not be reached, or refused the request."""


def ask_rest(url: str, model: str, images: Sequence[bytes], timeout: float = 60) -> Masks:
    """Returns the masks of image files, requested by REST.

    Args:
        url: The server, such as `http://localhost:8501`.
        model: Name of the model on the server.
        images: Contents of JPEG or PNG files.
        timeout: Seconds to wait for the response.

    Raises:
        RequestError: If the server cannot be reached or refuses.
    """
    content = [{"b64": base64.b64encode(image).decode()} for image in images]
    body = json.dumps({"signature_name": SIGNATURE, "inputs": {"image_bytes": content}})
    request = urllib.request.Request(
        f"{url.rstrip('/')}/v1/models/{model}:predict",
        data=body.encode(),
        headers={"Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=timeout) as response:
            outputs = json.load(response)["outputs"]
    except urllib.error.HTTPError as error:
        raise RequestError(_rest_error(error)) from error
    except OSError as error:
        raise RequestError(f"{url} cannot be reached: {error}") from error
    if isinstance(outputs, list):  # TensorFlow Serving leaves out the name of a single output
        outputs = {"mask_png_bytes": outputs}
    return {
        name: [base64.b64decode(value["b64"]) for value in values]
        for name, values in outputs.items()
    }


def ask_grpc(address: str, model: str, images: Sequence[bytes], timeout: float = 60) -> Masks:
    """Returns the masks of image files, requested by gRPC.

    Args:
        address: The server, such as `localhost:8500`.
        model: Name of the model on the server.
        images: Contents of JPEG or PNG files.
        timeout: Seconds to wait for the response.

    Raises:
        RequestError: If the server cannot be reached or refuses.
    """
    import grpc

    # The default limit of 4 MB is less than one large photograph.
    unlimited = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
    with grpc.insecure_channel(address, options=unlimited) as channel:
        predict = channel.unary_unary(
            "/tensorflow.serving.PredictionService/Predict",
            request_serializer=bytes,
            response_deserializer=bytes,
        )
        try:
            response = predict(predict_request(model, images), timeout=timeout)
        except grpc.RpcError as error:
            raise RequestError(f"{error.code().name}: {error.details()}") from error
    return _masks_in(response)


# === PredictRequest and PredictResponse as bytes ===
# The generated classes are in tensorflow-serving-api, which installs TensorFlow. Only nested
# fields are needed here: a number, a length, and the content.


def predict_request(model: str, images: Sequence[bytes]) -> bytes:
    """Returns a `tensorflow.serving.PredictRequest` for the signature `encoded`."""
    shape = field(2, field(1, len(images)))
    tensor = field(1, DT_STRING) + field(2, shape) + b"".join(field(8, image) for image in images)
    specification = field(1, model.encode()) + field(3, SIGNATURE.encode())
    return field(1, specification) + field(2, field(1, b"image_bytes") + field(2, tensor))


def field(number: int, value: int | bytes) -> bytes:
    """Returns one field of a protocol buffer: a number, or bytes with their length.

    >>> field(1, 150).hex(), field(2, b"testing").hex()
    ('089601', '120774657374696e67')
    """
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    groups = []
    while value > 0x7F:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*groups, value])


def _masks_in(response: bytes) -> Masks:
    """Returns the string tensors of a `tensorflow.serving.PredictResponse`, by name."""
    masks = {}
    for number, output in _fields(response):
        if number == 1:
            entry = dict(_fields(output))
            masks[entry[1].decode()] = [value for n, value in _fields(entry[2]) if n == 8]
    return masks


def _fields(message: bytes) -> Iterator[tuple[int, Any]]:
    position = 0
    while position < len(message):
        tag, position = _read_varint(message, position)
        value: Any
        value, position = _read_varint(message, position)
        if tag & 7 == 2:
            value, position = message[position : position + value], position + value
        elif tag & 7 != 0:
            raise RequestError("The server's response is not a PredictResponse.")
        yield tag >> 3, value


def _read_varint(message: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[position]
        value, shift, position = value | (byte & 0x7F) << shift, shift + 7, position + 1
        if byte < 0x80:
            return value, position


# === The command ===


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit status."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if len({path.stem for path in options.images}) < len(options.images):
        parser.error("two images have the same name, and so would their masks")
    failed = False
    is_checked = options.overwrite
    for start in range(0, len(options.images), options.batch):
        paths = options.images[start : start + options.batch]
        try:
            images = [path.read_bytes() for path in paths]
            if options.grpc:
                masks = ask_grpc(options.grpc, options.model, images, options.timeout)
            else:
                masks = ask_rest(options.rest, options.model, images, options.timeout)
            if not is_checked:  # the names of the outputs are known now
                _check_replaceable(masks, options.images, options.output)
                is_checked = True
            options.output.mkdir(parents=True, exist_ok=True)
            for path in _save(masks, paths, options.output):
                print(_printable(str(path)))
        except FileExistsError as error:
            print(_printable(str(error)), file=sys.stderr)
            return 1
        except (OSError, RequestError) as error:
            failed = True
            print(_printable(f"{', '.join(map(str, paths))}: {error}"), file=sys.stderr)
    return 1 if failed else 0


def _printable(text: str) -> str:
    """Returns a text without escape sequences for the terminal: a part of it is the server's."""
    return "".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in text)


def _save(masks: Masks, paths: Sequence[Path], folder: Path) -> Iterator[Path]:
    for name, files in masks.items():
        for path, content in zip(paths, files, strict=True):
            target = _target(name, path, folder)
            _write(target, content)
            yield target


def _target(name: str, image: Path, folder: Path) -> Path:
    """Returns the file of an output of an image."""
    # mask_png_bytes -> photo.png; semantic_mask_png_bytes -> photo_semantic.png
    kind = name.removesuffix("_png_bytes").removesuffix("mask").rstrip("_")
    return folder / f"{image.stem}{kind and '_' + kind}.png"


def _check_replaceable(outputs: Iterable[str], images: Sequence[Path], folder: Path) -> None:
    """Raises FileExistsError if a mask would replace a file that is none, or was edited since."""
    written = _written(folder)
    targets = [_target(name, image, folder) for name in outputs for image in images]
    foreign = [
        path
        for path in targets
        if path.is_file() and (path.name, _sha256(path.read_bytes())) not in written
    ]
    if foreign:
        raise FileExistsError(
            f"Files that were not written by this program or keras-fcn, or that were changed "
            f"afterwards: {', '.join(map(str, foreign[:3]))}{', ...' * (len(foreign) > 3)} "
            f"({len(foreign)}). Nothing was written. Choose another --output, or replace them by "
            "--overwrite."
        )


def _written(folder: Path) -> set[tuple[str, str]]:
    """Returns the names and checksums of all files that were written in a folder."""
    written = set()
    with contextlib.suppress(OSError):  # there is no record
        for line in (folder / RECORD).read_text(encoding="utf-8", errors="replace").splitlines():
            with contextlib.suppress(ValueError, TypeError):  # a line that was cut off
                name, digest = json.loads(line)
                written.add((name, digest))
    return written


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _write(path: Path, content: bytes) -> None:
    """Writes a file under a temporary name, then renames it: it is complete or does not exist."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.incomplete")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(OSError), (path.parent / RECORD).open("ab", buffering=0) as record:
            record.write(json.dumps([path.name, _sha256(content)]).encode() + b"\n")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _rest_error(error: urllib.error.HTTPError) -> str:
    text = error.read().decode(errors="replace")
    # A proxy may return something other than JSON.
    with contextlib.suppress(ValueError, KeyError, TypeError):
        text = json.loads(text)["error"]
    return f"{error.code} {error.reason}: {text}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description="Get the masks of image files from a model on TensorFlow Serving.",
        epilog="Masks are PNGs of the size of their images; pixels are class numbers, colored by "
        "a palette. One file that the server cannot read makes it refuse the whole batch. EXIF "
        "orientation is not applied: rotate such photographs first.",
    )
    server = parser.add_mutually_exclusive_group()
    server.add_argument(
        "--rest", default="http://localhost:8501", metavar="URL", help="default: %(default)s"
    )
    server.add_argument("--grpc", metavar="HOST:PORT", help="use gRPC, such as localhost:8500")
    parser.add_argument("--model", default="fcn", metavar="NAME", help="default: %(default)s")
    parser.add_argument(
        "--output", type=Path, default=Path("masks"), metavar="DIR", help="default: %(default)s"
    )
    parser.add_argument(
        "--batch", type=int, default=1, metavar="N", help="images per request (%(default)s)"
    )
    parser.add_argument(
        "--timeout", type=float, default=60, metavar="SECONDS", help="default: %(default)s"
    )
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="also replace files that this program did not write, or that were changed since",
    )
    parser.add_argument("images", type=Path, nargs="+", metavar="IMAGE", help="JPEG or PNG files")
    return parser


if __name__ == "__main__":
    sys.exit(main())
