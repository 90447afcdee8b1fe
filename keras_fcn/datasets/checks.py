"""Checks of a dataset for problems that would harm a training: `keras-fcn datasets check`."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from keras_fcn.data.image_io import read_depth, read_image
from keras_fcn.data.parallel import parallel_map
from keras_fcn.datasets import SegmentationDataset, check_folder_options, open_dataset
from keras_fcn.datasets.example_checks import (
    Findings,
    Problem,
    UnreadExample,
    UnreadMask,
    check_example,
    palette_of,
)
from keras_fcn.datasets.fingerprint import find_duplicates
from keras_fcn.datasets.folder import FolderOptions, find_folder_files
from keras_fcn.labels import Color, Heads, LabelSpec

_FURTHER_READERS = {"depth": read_depth, "hha": read_image}


@dataclass(frozen=True)
class ClassCounts:
    """How often the classes of a label map occur.

    Args:
        spec: The classes; counted in the masks if they have no names.
        pixels: By split, the pixels of each class, then those ignored: int64, shape
            `(num_classes + 1,)`.
        images: By split, the masks in which each class occurs, and any ignored pixel.
    """

    spec: LabelSpec
    pixels: dict[str, np.ndarray]
    images: dict[str, np.ndarray]


@dataclass(frozen=True)
class CheckReport:
    """What `check` found.

    Args:
        name: The dataset.
        problems: The problems, severe ones first.
        num_examples: Number of examples by split, those with problems included.
        sizes: By split, how often each (height, width) occurs.
        heads: The classes of each label map.
        counts: How often they occur, by head.
        notes: How the dataset is read, a sentence each.
    """

    name: str
    problems: list[Problem]
    num_examples: dict[str, int]
    sizes: dict[str, Counter[tuple[int, int]]]
    heads: Heads
    counts: dict[str, ClassCounts]
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether there is no severe problem."""
        return not any(problem.severe for problem in self.problems)


def check(
    dataset: str | SegmentationDataset,
    source: str | Path | None = None,
    data_dir: str | Path | None = None,
    seed: int = 0,
    **folder: Any,
) -> CheckReport:
    """Reads all of a dataset and lists its problems.

    It finds files that cannot be read or have no partner, masks, depth and HHA images of another
    size than their image, labels outside the classes, masks in colors without
    a table or with smoothed edges, palettes that disagree, masks without any
    class, classes that never occur, and images that occur in two splits.
    A damaged file does not stop the check.

    Args:
        dataset: A name as for `open_dataset`, or an open dataset.
        source: Folder of the files of a dataset that tfds prepares: the files
            themselves are checked, before anything is prepared.
        data_dir: As for `open_dataset`.
        seed: As for `open_dataset`.
        **folder: As for `open_dataset`.

    Raises:
        ValueError: If there is no such dataset.

    Example:
        >>> from keras_fcn.datasets import from_arrays
        >>> wrong = {"image": np.eye(3, 3, dtype="uint8")[..., None].repeat(3, -1),
        ...          "label": np.array([[0, 1, 7]] * 3, "uint8")}
        >>> dataset = from_arrays("mine", LabelSpec.numbered(2), {"train": [wrong]})
        >>> print(check(dataset).problems[0].text[:52])
        labels must be in [0, 2) or be 255 (ignored). Receiv
    """
    if isinstance(dataset, SegmentationDataset):
        return _report(_opened(dataset))
    if dataset.startswith("folder:"):
        return _report(_folder(dataset, seed, FolderOptions(**folder)))
    check_folder_options(dataset, folder)
    if source is not None:
        return _report(_source(dataset, source))
    return _report(_opened(open_dataset(dataset, data_dir=data_dir, seed=seed)))


@dataclass(frozen=True)
class _Contents:
    """What is to be checked.

    Args:
        name: The dataset.
        heads: The classes, or `None` if they are counted in the masks.
        examples: The examples of all splits.
        problems: What is known to be wrong; more may be added while `examples` are made.
        notes: How it is read, a sentence each.
        is_counted: Whether the highest label in the masks decides the number of classes.
    """

    name: str
    heads: Heads | None
    examples: Iterable[UnreadExample]
    problems: list[Problem]
    notes: Sequence[str] = ()
    is_counted: bool = False


def _folder(name: str, seed: int, options: FolderOptions) -> _Contents:
    root = Path(name.removeprefix("folder:")).expanduser()
    files = find_folder_files(root, seed, options)
    examples = [
        UnreadExample(
            split,
            str(image),
            partial(files.read_image, image),
            {Heads.ONLY: UnreadMask(str(masks[0]), partial(files.read_label, masks))},
        )
        for split, pairs in files.splits.items()
        for image, masks in pairs.values()
    ]
    problems = [_problem_of_text(text) for text in files.problems]
    for split, option in (("train", "--train-split"), ("val", "--validation-split")):
        if split not in files.splits and not problems:
            text = f"there is no split {split!r}. Give `train` another one: {option} NAME"
            text += "." if split == "train" else ", or `none`."
            problems.append(Problem(name, text, False))
    heads = Heads(files.reading.labels) if files.reading else None
    is_counted = files.table is None and options.num_classes is None
    return _Contents(name, heads, examples, problems, files.notes, is_counted)


def _source(name: str, source: str | Path) -> _Contents:
    from keras_fcn.datasets.tfds_reader import BUILDERS, find_source_files

    if name not in BUILDERS:
        open_dataset(name, source)  # raises the error about the name or the source
    builder, splits = find_source_files(name, source)
    examples = [
        UnreadExample(
            split,
            str(files["image"]),
            partial(read_image, files["image"]),
            {
                head: _file_mask(path, builder.read_label, True)
                for head, path in builder.label_files(files).items()
            },
            {
                str(files[key]): partial(read, files[key])
                for key, read in _FURTHER_READERS.items()
                if key in files
            },
        )
        for split, by_id in splits.items()
        for files in by_id.values()
    ]
    return _Contents(name, builder.heads, examples, [])


def _opened(dataset: SegmentationDataset) -> _Contents:
    problems: list[Problem] = []
    examples = _decoded_examples(dataset, problems)
    return _Contents(dataset.name, dataset.heads, examples, problems)


def _decoded_examples(
    dataset: SegmentationDataset, problems: list[Problem]
) -> Iterator[UnreadExample]:
    heads = dataset.heads
    for split in dataset.splits:
        try:
            for example in dataset.examples(split).as_numpy_iterator():
                name = f"{split}: {example['id'].decode()}"
                yield UnreadExample(
                    split,
                    name,
                    partial(np.array, example["image"]),
                    {
                        head: UnreadMask(_of_head(name, head, heads), partial(np.array, label))
                        for head, label in heads.by_name(example["label"]).items()
                    },
                    {
                        f"{name} ({key})": partial(np.array, example[key])
                        for key in _FURTHER_READERS
                        if key in example
                    },
                )
        except tf.errors.OpError as error:
            text = f"the split cannot be read to its end ({error.message})"
            problems.append(Problem(split, " ".join(text.split())))


def _of_head(name: str, head: str, heads: Heads) -> str:
    """Returns the name, followed by that of the head if it has one."""
    return f"{name} ({head})" if heads.is_named else name


def _file_mask(mask: Path, read_label: Callable[[Path], np.ndarray], by_number: bool) -> UnreadMask:
    palette = partial(palette_of, mask) if by_number else dict
    return UnreadMask(str(mask), partial(read_label, mask), palette)


def _report(contents: _Contents) -> CheckReport:
    checked = list(parallel_map(partial(check_example, contents.heads), contents.examples))
    problems = contents.problems + [problem for found in checked for problem in found.problems]
    heads = contents.heads or Heads(LabelSpec.numbered(2))  # why is among the problems
    if contents.is_counted and contents.heads:
        problems += _deciding_mask(checked, heads[Heads.ONLY].num_classes - 1)
    splits = list(dict.fromkeys(found.example.split for found in checked))
    of_split = {split: [f for f in checked if f.example.split == split] for split in splits}
    counts = {head: _class_counts(of_split, head, spec) for head, spec in heads.items()}
    for head, found in counts.items():
        problems += _missing_classes(found, head, heads)
        problems += _disagreeing_palettes(checked, head)
    fingerprints = [found.fingerprint for found in checked if found.fingerprint is not None]
    problems += [Problem(*found) for found in find_duplicates(fingerprints)]
    return CheckReport(
        name=contents.name,
        problems=sorted(problems, key=lambda problem: not problem.severe),
        num_examples={split: len(findings) for split, findings in of_split.items()},
        sizes={
            split: Counter(found.size for found in findings if found.size)
            for split, findings in of_split.items()
        },
        heads=heads,
        counts=counts,
        notes=tuple(contents.notes),
    )


def _deciding_mask(checked: list[Findings], highest: int) -> list[Problem]:
    """Returns a hint if one mask alone makes the number of classes what it is."""
    masks = [found for found in checked if found.counts]
    containing = [found for found in masks if found.counts[Heads.ONLY][highest]]
    if len(containing) != 1 or len(masks) < 2:
        return []
    text = (
        f"the label {highest} occurs in this mask only, and makes the dataset one of "
        f"{highest + 1} classes."
    )
    return [Problem(containing[0].example.masks[Heads.ONLY].name, text, False)]


def _class_counts(of_split: dict[str, list[Findings]], head: str, spec: LabelSpec) -> ClassCounts:
    columns = [*range(spec.num_classes), spec.ignore_class]
    tables = {
        split: np.array(
            [found.counts[head] for found in findings if head in found.counts], np.int64
        ).reshape(-1, 256)[:, columns]
        for split, findings in of_split.items()
    }
    return ClassCounts(
        spec,
        pixels={split: table.sum(axis=0) for split, table in tables.items()},
        images={split: (table > 0).sum(axis=0) for split, table in tables.items()},
    )


def _missing_classes(found: ClassCounts, head: str, heads: Heads) -> list[Problem]:
    problems = []
    for split, counts in found.pixels.items():
        names = found.spec.class_names
        missing = [name for name, count in zip(names, counts, strict=False) if count == 0]
        elsewhere = [
            name
            for k, name in enumerate(names)
            if name in missing and any(other[k] for other in found.pixels.values())
        ]
        if missing:
            shown = ", ".join(missing[:8]) + (f" and {len(missing) - 8} more" * (len(missing) > 8))
            text = f"these classes never occur: {shown}."
            if split == "train" and elsewhere:
                text += (
                    f" Other splits contain {', '.join(elsewhere[:8])}, which cannot be learned."
                )
            problems.append(Problem(_of_head(split, head, heads), text, False))
    return problems


def _disagreeing_palettes(checked: list[Findings], head: str) -> list[Problem]:
    """Finds masks in which an index has another color than in earlier masks."""
    first: dict[int, tuple[Color, str]] = {}
    problems = []
    for found in checked:
        name = found.example.masks[head].name
        for index, color in found.palettes.get(head, {}).items():
            known, file = first.setdefault(index, (color, name))
            if known != color:
                text = (
                    f"the palette gives index {index} the color {color}, in {file} it is "
                    f"{known}. Likely cause: an editor renumbered the palette of one of them."
                )
                problems.append(Problem(name, text))
                break
    return problems


def _problem_of_text(text: str) -> Problem:
    file, _, rest = text.partition(": ")
    return Problem(file, rest)
