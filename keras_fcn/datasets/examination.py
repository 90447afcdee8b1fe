"""Reading one example of a dataset for what is wrong with it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from keras_fcn.data.image_io import check_labels, check_size, read_mask
from keras_fcn.datasets.duplicates import content_digest, thumbnail
from keras_fcn.labels import Color, LabelSpec

_VOID = 255


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong, or deserves a look.

    Args:
        file: The file, or the split or folder where it is no single file.
        text: What is wrong, a sentence or two in one line.
        severe: Whether training or scores would be wrong; else it is a hint.
    """

    file: str
    text: str
    severe: bool = True

    def __str__(self) -> str:
        return f"{self.file}: {self.text}"


@dataclass(frozen=True)
class Mask:
    """A label map that is not read yet."""

    name: str
    read: Callable[[], np.ndarray]
    # Color of each palette index, where the mask is a palette image read by its indices.
    palette: Callable[[], dict[int, Color]] = dict


@dataclass(frozen=True)
class Item:
    """An example that is not read yet.

    Args:
        split: Its split.
        image_name: Its file, or what else to call it.
        read_image: Returns the image.
        masks: Its label maps by head; a single one is called "".
        further_images: Functions that return its depth and HHA images, by name.
    """

    split: str
    image_name: str
    read_image: Callable[[], np.ndarray]
    masks: Mapping[str, Mask]
    further_images: Mapping[str, Callable[[], np.ndarray]] = field(default_factory=dict)


@dataclass
class Facts:
    """What was read of an example; `None`, or missing by head, where it could not be."""

    item: Item
    problems: list[Problem] = field(default_factory=list)
    size: tuple[int, int] | None = None
    digest: bytes = b""
    thumbnail: np.ndarray | None = None
    counts: dict[str, np.ndarray] = field(default_factory=dict)
    palettes: dict[str, dict[int, Color]] = field(default_factory=dict)


def examine(labels: Mapping[str, LabelSpec] | None, item: Item) -> Facts:
    """Reads an example; what cannot be read becomes a problem.

    Args:
        labels: The classes by head, or `None` where they are counted afterwards.
        item: The example.
    """
    facts = Facts(item)
    image = _attempt(facts, item.image_name, item.read_image)
    if image is not None:
        facts.size = image.shape[:2]
        facts.digest = content_digest(image)
        facts.thumbnail = thumbnail(image)
        if image.min() == image.max():
            facts.problems.append(
                Problem(item.image_name, f"all pixels of the image are {image.min()}.", False)
            )
    for name, read in item.further_images.items():
        further = _attempt(facts, name, read)
        if further is not None and facts.size is not None:
            _attempt(facts, name, partial(_checked_further, facts, name, further))
    for head, mask in item.masks.items():
        label = _attempt(facts, mask.name, mask.read)
        if label is None:
            continue
        facts.counts[head] = np.bincount(label.reshape(-1), minlength=256)
        spec = labels[head] if labels else None
        _attempt(facts, mask.name, partial(_checked, facts, mask.name, label, spec))
        facts.palettes[head] = mask.palette()
    return facts


def _attempt(facts: Facts, name: str, action: Callable[[], np.ndarray]) -> np.ndarray | None:
    """Returns the action's result; an error becomes a problem of the file."""
    try:
        return action()
    except FileNotFoundError:
        facts.problems.append(Problem(name, "the file is missing."))
    except (ValueError, OSError) as error:
        text = " ".join(str(error).split())
        facts.problems.append(Problem(name, text.removeprefix(f"{name}: ")))
    return None


def _checked_further(facts: Facts, name: str, image: np.ndarray) -> np.ndarray:
    if not image.any():
        facts.problems.append(Problem(name, "all pixels of the image are 0.", False))
    check_size(facts.item.image_name, facts.size or (), name, image.shape[:2], "image")
    return image


def _checked(facts: Facts, name: str, label: np.ndarray, labels: LabelSpec | None) -> np.ndarray:
    ignored = _VOID if labels is None else labels.ignore_class
    if (label == ignored).all():
        text = f"all pixels of the mask are ignored ({ignored})."
        facts.problems.append(Problem(name, text, False))
    if facts.size is not None:
        check_size(facts.item.image_name, facts.size, name, label.shape)
    if labels is not None:
        check_labels(label, labels, name)
    return label


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
