"""A random split that keeps frames of one sequence and near copies together."""

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path, PurePosixPath

import numpy as np

from keras_fcn.datasets.fingerprint import distances
from keras_fcn.datasets.folder_names import IMAGE_AFFIXES, name_forms
from keras_fcn.datasets.near_copies import Thumbnails, near_groups

_VAL_SHARE = 0.2
_FEWEST_FRAMES = 3  # so many names that differ in a number are a sequence
# Up to these all images are compared. No limit of time, so that the split is always the same.
_MOST_BYTES = 2 << 30
_MOST_IMAGES = 20_000
_SAMPLED = 48  # neighbors of a sequence that are compared
# Median distance of images to the next, divided by that of any two. Measured: 0.36 to 0.56 in three
# videos with a frame per second, above 0.83 in photographs.
_RELATED = 0.7


@dataclass
class RandomSplit:
    """A split into training and validation images.

    Args:
        val: Names of the validation images; the others are trained on.
        notes: What was kept together, a sentence each.
    """

    val: set[str]
    notes: list[str] = field(default_factory=list)


def split_at_random(
    root: Path,
    images: Mapping[str, Path],
    classes: Mapping[str, frozenset[int]],
    seed: int,
) -> RandomSplit:
    """Splits images into train and val; equal files give an equal split.

    Args:
        root: The folder.
        images: The images by name.
        classes: The classes that occur in each, as far as they are known.
        seed: Decides which are `val`.
    """
    thumbnails = Thumbnails(root)
    notes: list[str] = []
    sequences = _sequences(images)

    def is_film(prefix: str) -> bool:
        return _is_film([images[name] for name in sequences[prefix]], thumbnails)

    parts: list[list[str]] = []
    for prefix in [p for p, frames in sequences.items() if 2 * len(frames) > len(images)]:
        # Most images: either one film, or photographs that a camera numbered.
        if is_film(prefix):
            parts += _cut(sequences[prefix])
            notes.append(f"{len(sequences[prefix])} frames of one sequence were cut into parts.")
        del sequences[prefix]
    exclusive = _exclusive_class(sequences, images, classes)
    if exclusive:
        example = sequences[exclusive][0]
        films = {prefix: frames for prefix, frames in sequences.items() if is_film(prefix)}
        if len(films) < len(sequences):
            notes.append(
                f"Names such as {example} are of no sequence: only they contain some class."
            )
        sequences = films
    copies: list[list[str]] = []
    if len(images) <= _MOST_IMAGES and _size(images.values()) <= _MOST_BYTES:
        names = {path: name for name, path in images.items()}
        near = near_groups(thumbnails.read(images.values())[0])
        copies = [[names[path] for path in group] for group in near]
    else:
        notes.append("Near copies were not looked for among so many images.")
    groups = _joined(images, [*sequences.values(), *parts, *copies])
    kept = [
        *([f"{len(sequences)} sequences (names that differ in a number)"] * bool(sequences)),
        *([f"{len(copies)} groups of nearly equal images"] * bool(copies)),
    ]
    if kept:
        notes.insert(0, f"Kept in one split each: {' and '.join(kept)}.")
    return RandomSplit(_hold_out(groups, seed, notes), notes)


def _sequences(images: Mapping[str, Path]) -> dict[str, list[str]]:
    """Returns names that differ in their last number, in its order, by what they have in common.

    Copies that Roboflow made of one image (`a_jpg.rf.3f2c.jpg`) are such too.
    """
    found: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for name in images:
        path = PurePosixPath(name)
        stem = name_forms(path.name, IMAGE_AFFIXES)[-1]
        copy = re.fullmatch(r"(.+)[_.](?:jpe?g|png|bmp|webp)\.rf\.\w+", path.name, re.IGNORECASE)
        frame = re.fullmatch(r"(.*?)[^a-zA-Z0-9]*(\d+)\)?", stem)
        if copy:
            found[f"{path.parent}/{copy[1]}.rf"].append((0, name))
        elif frame:
            found[f"{path.parent}/{frame[1]}".removeprefix("./")].append((int(frame[2]), name))
    return {
        prefix: [name for _, name in sorted(frames)]
        for prefix, frames in found.items()
        if len(frames) >= (2 if prefix.endswith(".rf") else _FEWEST_FRAMES)
    }


def _cut(frames: Sequence[str]) -> list[list[str]]:
    """Returns a sequence in parts of neighbors, each as large as val."""
    ends = np.linspace(0, len(frames), round(1 / _VAL_SHARE) + 1).round().astype(int)
    return [list(frames[start:end]) for start, end in pairwise(ends) if start < end]


def _is_film(frames: Sequence[Path], thumbnails: Thumbnails) -> bool:
    """Returns whether neighbors are more alike than other pairs."""
    if len(frames) < 2 * _FEWEST_FRAMES:
        return False
    step = max(1, (len(frames) - 1) // _SAMPLED)
    starts = range(0, len(frames) - 1, step)
    wanted = sorted({k + d for k in starts for d in (0, 1)})
    found, _ = thumbnails.read([frames[k] for k in wanted])
    pairs = [(frames[k], frames[k + 1]) for k in starts]
    pairs = [(one, other) for one, other in pairs if one in found and other in found]
    if len(pairs) < _FEWEST_FRAMES:
        return False
    first = np.array([found[one] for one, _ in pairs], np.float32)
    second = np.array([found[other] for _, other in pairs], np.float32)
    table = distances(first, second)
    apart = np.abs(np.subtract.outer(range(len(pairs)), range(len(pairs)))) > len(pairs) // 4
    return bool(np.median(np.diag(table)) < _RELATED * np.median(table[apart]))


def _exclusive_class(
    sequences: Mapping[str, Sequence[str]],
    images: Mapping[str, Path],
    classes: Mapping[str, frozenset[int]],
) -> str | None:
    """Returns the sequence that alone contains a class, such as `cat_1`, `cat_2` among dogs."""
    where: dict[int, set[str]] = defaultdict(set)
    of_name = {name: prefix for prefix, frames in sequences.items() for name in frames}
    for name in images:
        for label in classes.get(name, ()):
            where[label].add(of_name.get(name, ""))
    alone = [next(iter(prefixes)) for prefixes in where.values() if len(prefixes) == 1]
    return next((prefix for prefix in alone if prefix), None)


def _joined(images: Mapping[str, Path], groups: Sequence[Sequence[str]]) -> list[list[str]]:
    """Returns all names in groups: those that share a name are one, and the others are alone.

    The first name of a group is that of its largest part, whatever is added to it.
    """
    group_of: dict[str, list[str]] = {name: [name] for name in images}
    for group in groups:
        for name in group[1:]:
            large, small = group_of[group[0]], group_of[name]
            if large is small:
                continue
            if len(large) < len(small):
                large, small = small, large
            large += small
            for moved in small:
                group_of[moved] = large
    return list({id(group): group for group in group_of.values()}.values())


def _hold_out(groups: Sequence[list[str]], seed: int, notes: list[str]) -> set[str]:
    """Returns the names of whole groups that are about a fifth of all.

    Sorted by hash, so that the names and their order do not matter, and an added image moves few
    others.
    """
    total = sum(map(len, groups))
    target = max(1, round(_VAL_SHARE * total))

    def rank(group: list[str]) -> bytes:
        return hashlib.sha256(f"{seed}/{group[0]}".encode()).digest()

    chosen: list[str] = []
    for group in sorted(groups, key=rank):
        if len(chosen) < target and len(chosen) + len(group) <= max(target, 1.5 * target):
            chosen += group
    if chosen:
        return set(chosen)
    smallest = min(groups, key=lambda group: (len(group), rank(group)))
    if 2 * len(smallest) <= total:
        return set(smallest)
    notes.append("The largest group is cut: val would be more than half of the images.")
    return set(sorted(smallest)[-target:])


def _size(paths: Iterable[Path]) -> int:
    return sum(path.stat().st_size for path in paths if path.is_file())
