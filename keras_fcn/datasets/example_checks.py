"""Checks of a single example of a dataset."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from keras_fcn.data.image_io import check_size
from keras_fcn.data.masks import check_labels, read_mask
from keras_fcn.datasets.fingerprint import Fingerprint
from keras_fcn.labels import Color, Heads, LabelSpec

_VOID = 255


@dataclass(frozen=True)
class Problem:
    """One problem of a dataset, or a hint.

    Args:
        file: The file; the split or folder if it is not a single file.
        text: What is wrong, a sentence or two in one line.
        severe: Whether training or metrics would be wrong; a hint otherwise.
    """

    file: str
    text: str
    severe: bool = True

    def __str__(self) -> str:
        return f"{self.file}: {self.text}"


@dataclass(frozen=True)
class UnreadMask:
    """A label map that is not read yet."""

    name: str
    read: Callable[[], np.ndarray]
    # Color of each palette index, if the mask is a palette image that is read by its indices.
    palette: Callable[[], dict[int, Color]] = dict


@dataclass(frozen=True)
class UnreadExample:
    """An example that is not read yet.

    Args:
        split: Its split.
        image_name: Its file, or another name for it.
        read_image: Returns the image.
        masks: Its label maps by head.
        further_images: Functions that return its depth and HHA images, by name.
    """

    split: str
    image_name: str
    read_image: Callable[[], np.ndarray]
    masks: Mapping[str, UnreadMask]
    further_images: Mapping[str, Callable[[], np.ndarray]] = field(default_factory=dict)


@dataclass
class Findings:
    """The contents of an example; what could not be read is `None`, or missing by head."""

    example: UnreadExample
    problems: list[Problem] = field(default_factory=list)
    size: tuple[int, int] | None = None
    fingerprint: Fingerprint | None = None
    counts: dict[str, np.ndarray] = field(default_factory=dict)
    palettes: dict[str, dict[int, Color]] = field(default_factory=dict)


def check_example(heads: Heads | None, example: UnreadExample) -> Findings:
    """Reads an example; whatever cannot be read is reported as a problem.

    Args:
        heads: The classes by head, or `None` if they are counted afterwards.
        example: The example.
    """
    findings = Findings(example)
    image = _attempt(findings, example.image_name, example.read_image)
    if image is not None:
        findings.size = image.shape[:2]
        findings.fingerprint = Fingerprint.of(example.split, example.image_name, image)
        valid = image[np.isfinite(image)]
        if not valid.size or valid.min() == valid.max():
            only = valid[0] if valid.size else "without data"
            findings.problems.append(
                Problem(example.image_name, f"all pixels of the image are {only}.", False)
            )
    for name, read in example.further_images.items():
        further = _attempt(findings, name, read)
        if further is not None and findings.size is not None:
            _attempt(findings, name, partial(_checked_further, findings, name, further))
    for head, mask in example.masks.items():
        label = _attempt(findings, mask.name, mask.read)
        if label is None:
            continue
        findings.counts[head] = np.bincount(label.reshape(-1), minlength=256)
        spec = heads[head] if heads else None
        _attempt(findings, mask.name, partial(_checked, findings, mask.name, label, spec))
        findings.palettes[head] = mask.palette()
    return findings


def palette_of(path: Path) -> dict[int, Color]:
    """Returns the color of each index that occurs in a palette image; else nothing."""
    if path.suffix == ".mat":
        return {}
    with Image.open(path) as image:
        if image.mode != "P":
            return {}
        flat = image.getpalette("RGB") or []
    used = np.unique(read_mask(path))
    return {
        int(index): (flat[3 * index], flat[3 * index + 1], flat[3 * index + 2])
        for index in used
        if index != _VOID and 3 * index + 2 < len(flat)
    }


def _attempt(findings: Findings, name: str, action: Callable[[], np.ndarray]) -> np.ndarray | None:
    """Returns the action's result; an error becomes a problem of the file."""
    try:
        return action()
    except FileNotFoundError:
        findings.problems.append(Problem(name, "the file is missing."))
    except (ValueError, OSError) as error:
        text = " ".join(str(error).split())
        findings.problems.append(Problem(name, text.removeprefix(f"{name}: ")))
    return None


def _checked_further(findings: Findings, name: str, image: np.ndarray) -> np.ndarray:
    if not image.any():
        findings.problems.append(Problem(name, "all pixels of the image are 0.", False))
    image_name, size = findings.example.image_name, findings.size or ()
    check_size(image_name, size, name, image.shape[:2], "image")
    return image


def _checked(
    findings: Findings, name: str, label: np.ndarray, spec: LabelSpec | None
) -> np.ndarray:
    ignored = _VOID if spec is None else spec.ignore_class
    if (label == ignored).all():
        text = f"all pixels of the mask are ignored ({ignored})."
        findings.problems.append(Problem(name, text, False))
    if findings.size is not None:
        check_size(findings.example.image_name, findings.size, name, label.shape)
    if spec is not None:
        check_labels(label, spec, name)
    return label
