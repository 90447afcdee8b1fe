"""Mutated files for one command: each must end with exit status 0, or a message that names it.

    python -m tests.robustness.fuzz COMMAND [--count 100] [--seed 0]

A fault is a traceback, "This should not happen", or a failure without the name of the file. The
runs of one command are in one process, which a mutant that crashes it would end.
"""

import argparse
import contextlib
import io
import json
import random
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

# What a mutant inserts: the limits of numbers, quotes, escape sequences, other encodings.
_TOKENS = (
    b"\x00", b"\xff\xfe", b"\xef\xbb\xbf", b"-1", b"99999999999999999999", b"nan", b"1e999",
    b"null", b"[]", b"{}", b'"', b"'", b",", b";", b"\n", b"\r\n", b"\t", b"../",
    b"\x1b[2J", b"\xe4",
)  # fmt: skip


def mutated(content: bytes, generator: random.Random) -> bytes:
    """Returns bytes with one to four changes: cut, flipped, removed, doubled, or inserted."""
    data = bytearray(content)
    for _ in range(generator.randint(1, 4)):
        place = generator.randrange(len(data) + 1)
        length = generator.choice((1, 1, 2, 4, 16, max(len(data) // 4, 1)))
        kind = generator.randrange(6)
        if kind == 0 and data:
            data[place % len(data)] ^= 1 << generator.randrange(8)
        elif kind == 1:
            del data[place:]
        elif kind == 2:
            del data[place : place + length]
        elif kind == 3:
            data[place:place] = data[place : place + length]
        elif kind == 4:
            data[place:place] = generator.choice(_TOKENS)
        else:
            data[place : place + length] = generator.randbytes(length)
    return bytes(data)


def mutated_file(content: bytes, generator: random.Random) -> bytes:
    """Returns a mutant of a file; of a zip archive, often one with a mutant of a member."""
    # A `.tflite` has an archive at its end only.
    if not content.startswith(b"PK") or generator.random() < 0.3:
        return mutated(content, generator)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    chosen = generator.choice(sorted(members))
    if generator.random() < 0.1:
        del members[chosen]
    elif chosen.endswith(".json") and generator.random() < 0.7:
        members[chosen] = mutated_json(members[chosen], generator)
    else:
        members[chosen] = mutated(members[chosen], generator)
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, member in members.items():
            archive.writestr(name, member)
    return stream.getvalue()


def mutated_json(content: bytes, generator: random.Random) -> bytes:
    """Returns JSON in which one value is removed or has another type."""
    tree = json.loads(content)
    places = list(_places(tree))
    if not places:
        return mutated(content, generator)
    parent, key = generator.choice(places)
    if generator.random() < 0.3:
        del parent[key]
    else:
        parent[key] = generator.choice((None, -1, 0, 10**30, 1.5, "", "x", [], {}, True, [[1]]))
    return json.dumps(tree).encode()


def _places(tree: object) -> Iterator[tuple]:
    items = enumerate(tree) if isinstance(tree, list) else ()
    items = tree.items() if isinstance(tree, dict) else items
    for key, value in items:
        yield tree, key
        yield from _places(value)


@dataclass(frozen=True)
class Case:
    """A command with its files.

    Args:
        files: The files that are mutated, relative to the folder.
        arguments: Of the command; `{root}` is the folder.
        prepare: Writes all files into an empty folder.
        clean: What to remove before each run.
    """

    files: tuple[str, ...]
    arguments: tuple[str, ...]
    prepare: Callable[[Path], None]
    clean: tuple[str, ...] = ("out",)


def _photos(root: Path) -> None:
    generator = np.random.default_rng(0)
    for kind in ("images", "masks"):
        (root / "photos" / kind).mkdir(parents=True)
    for number in range(4):
        image = generator.integers(0, 256, (20, 24, 3)).astype("uint8")
        name = f"{number}.{'jpg' if number == 0 else 'png'}"
        Image.fromarray(image).save(root / "photos" / "images" / name)
        mask = Image.fromarray(image.argmax(-1).astype("uint8"))
        if number == 1:
            mask.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0])
        mask.save(root / "photos" / "masks" / f"{number}.png")
    (root / "photos" / "classes.txt").write_text("red\ngreen\nblue\n")
    (root / "photos" / "train.txt").write_text("0\n1\n2\n")
    (root / "photos" / "val.txt").write_text("3\n")


def _model(root: Path) -> None:
    from ..helpers import channel_model

    _photos(root)
    channel_model().save(root / "m.keras")


def _exported(root: Path) -> None:
    from keras_fcn_export.onnx import export_onnx
    from keras_fcn_export.tflite import export_tflite

    from ..helpers import channel_model

    _photos(root)
    export_tflite(channel_model(), root / "m.tflite", size=(32, 32))
    export_onnx(channel_model(), root / "m.onnx")


_TRAIN = (
    "train", "--dataset", "folder:{root}/photos", "--backbone", "small_resnet", "--fc-filters", "4",
    "--backbone-weights", "none", "--crop", "32x32", "--batch-size", "1", "--workdir", "{root}/run",
    "--schedule", "constant", "--no-plan",
)  # fmt: skip


def _workdir(root: Path) -> None:
    _photos(root)
    run([*(part.format(root=root) for part in _TRAIN), "--epochs", "1"])
    shutil.copytree(root / "run", root / "kept")


_DATA = (
    "photos/images/0.jpg", "photos/images/3.png", "photos/masks/1.png", "photos/masks/3.png",
    "photos/classes.txt", "photos/train.txt", "photos/val.txt",
)  # fmt: skip
_DATASET = ("--dataset", "folder:{root}/photos")
CASES = {
    "check": Case(_DATA, ("datasets", "check", *_DATASET), _photos),
    "show": Case(_DATA, ("datasets", "show", *_DATASET, "--output", "{root}/out/g.png"), _photos),
    "evaluate": Case(
        (*_DATA, "m.keras"), ("evaluate", "--model", "{root}/m.keras", *_DATASET), _model
    ),
    "predict": Case(
        ("photos/images/0.jpg", "photos/images/3.png", "m.keras"),
        ("predict", "--model", "{root}/m.keras", "--output", "{root}/out", "{root}/photos/images"),
        _model,
    ),
    "predict_tflite": Case(
        ("m.tflite",),
        ("predict", "--model", "{root}/m.tflite", "--output", "{root}/out", "{root}/photos/images"),
        _exported,
    ),
    "predict_onnx": Case(
        ("m.onnx",),
        ("predict", "--model", "{root}/m.onnx", "--output", "{root}/out", "{root}/photos/images"),
        _exported,
    ),
    "export": Case(
        ("m.keras",),
        ("export", "--model", "{root}/m.keras", "--format", "tflite", "--size", "32x32",
         "--no-verify", "--output", "{root}/out/m.tflite"),
        _model,
    ),
    "resume": Case(
        ("run/config.json", "run/state/state.npz", "run/log.csv", "photos/classes.txt",
         "photos/masks/1.png"),
        (*_TRAIN, "--epochs", "2", "--resume"),
        _workdir,
        ("run",),
    ),
}  # fmt: skip


def run(arguments: list[str]) -> tuple[int, str]:
    """Runs a command in this process; returns its exit status and all that it printed."""
    from click.testing import CliRunner
    from keras_fcn_cli.main import main

    result = CliRunner().invoke(main, arguments)
    text = result.output
    if result.exception and not isinstance(result.exception, SystemExit):
        text += f"\nTraceback: {result.exception!r}"
    return result.exit_code, text


def faults(name: str, count: int, seed: int, on_run: Callable[[int], None]) -> list[str]:
    """Returns a description of each mutant that did not end as it should."""
    case = CASES[name]
    found = []
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        root = Path(folder).resolve()
        case.prepare(root)
        arguments = [part.format(root=root) for part in case.arguments]
        status, text = run(arguments)
        if status:
            raise RuntimeError(f"{name} fails on files that are right: {text}")
        originals = {file: (root / "kept" / Path(file).relative_to("run")
                            if file.startswith("run/") else root / file).read_bytes()
                     for file in case.files}  # fmt: skip
        for number in range(count):
            # Its own generator: a mutant can be made again alone.
            generator = random.Random(f"{name} {seed} {number}")
            for path in case.clean:
                shutil.rmtree(root / path, ignore_errors=True)
            if "run" in case.clean:
                shutil.copytree(root / "kept", root / "run")
            file = generator.choice(case.files)
            change = mutated_file
            if file.endswith(".json") and generator.random() < 0.5:
                change = mutated_json
            (root / file).parent.mkdir(parents=True, exist_ok=True)
            (root / file).write_bytes(change(originals[file], generator))
            status, text = run(arguments)
            if fault := _fault(status, text, file, str(root)):
                found.append(f"{name} {number} {file}: {fault}: {text[-1500:]}")
            (root / file).write_bytes(originals[file])
            on_run(status)
    return found


def _fault(status: int, text: str, file: str, root: str) -> str | None:
    if "Traceback" in text:
        return "a traceback"
    if "should not happen" in text:
        return "an unexpected error"
    # What is wrong in a list, table or state can appear only in a file that refers to it.
    is_reference = "/run/" in f"/{file}" or file.endswith(".txt")
    if status and Path(file).name not in text and not (is_reference and root in text):
        return "a failure without the file's name"
    return None


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("command", choices=CASES)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    statuses: list[int] = []
    with contextlib.redirect_stdout(sys.stderr):
        found = faults(options.command, options.count, options.seed, statuses.append)
    print(json.dumps({"refused": sum(map(bool, statuses)), "runs": len(statuses), "faults": found}))


if __name__ == "__main__":
    main()
