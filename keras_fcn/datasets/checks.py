"""Looking through a dataset for what spoils a training, before the training."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from keras_fcn.data.image_io import read_depth, read_image
from keras_fcn.data.parallel import parallel_map
from keras_fcn.datasets import SegmentationDataset, open_dataset
from keras_fcn.datasets.duplicates import find_duplicates
from keras_fcn.datasets.examination import Facts, Item, Mask, Problem, examine, palette_of
from keras_fcn.datasets.folder import find_folder_files, spec_of_present
from keras_fcn.labels import Color, LabelSpec


@dataclass(frozen=True)
class ClassCounts:
    """How often the classes of a label map occur.

    Args:
        labels: The classes; counted in the masks where nothing names them.
        pixels: By split, the pixels of each class, then those ignored: int64, shape
            `(num_classes + 1,)`.
        images: By split, the masks in which each class occurs, and any ignored pixel.
    """

    labels: LabelSpec
    pixels: dict[str, np.ndarray]
    images: dict[str, np.ndarray]


@dataclass(frozen=True)
class CheckReport:
    """What `check` found.

    Args:
        name: The dataset.
        problems: What is wrong, severe problems first.
        num_examples: Number of examples by split, those with problems included.
        sizes: By split, how often each (height, width) occurs.
        counts: The classes of each label map by head; a single one is called "".
    """

    name: str
    problems: list[Problem]
    num_examples: dict[str, int]
    sizes: dict[str, Counter[tuple[int, int]]]
    counts: dict[str, ClassCounts]

    @property
    def ok(self) -> bool:
        """Whether there is no severe problem."""
        return not any(problem.severe for problem in self.problems)


def check(
    dataset: str | SegmentationDataset,
    source: str | Path | None = None,
    data_dir: str | Path | None = None,
    seed: int = 0,
) -> CheckReport:
    """Reads all of a dataset and lists what is wrong with it.

    Found are files that cannot be read or have no partner, masks, depth and HHA images of another
    size than their image, labels outside the classes, masks in colors without
    a table or with smoothed edges, palettes that disagree, masks without any
    class, classes that never occur, and images that two splits share.
    A broken file does not end the search.

    Args:
        dataset: A name as for `open_dataset`, or an open dataset.
        source: Folder of the files of a set that tfds prepares: the files
            themselves are checked, before anything is prepared.
        data_dir: As for `open_dataset`.
        seed: As for `open_dataset`.

    Raises:
        ValueError: If there is no such dataset.

    Example:
        >>> from keras_fcn.datasets import from_arrays
        >>> wrong = {"image": np.eye(3, 3, dtype="uint8")[..., None].repeat(3, -1),
        ...          "label": np.array([[0, 1, 7]] * 3, "uint8")}
        >>> dataset = from_arrays("mine", LabelSpec.numbered(2), {"train": [wrong]})
        >>> print(check(dataset).problems[0].text[:52])
        labels must lie in [0, 2) or be 255 (ignored). Recei
    """
    if isinstance(dataset, SegmentationDataset):
        return _report(_opened(dataset))
    if dataset.startswith("folder:"):
        return _report(_folder(dataset, seed))
    if source is not None:
        return _report(_source(dataset, source))
    return _report(_opened(open_dataset(dataset, data_dir=data_dir, seed=seed)))


@dataclass(frozen=True)
class _Set:
    """What is to be checked."""

    name: str
    labels: dict[str, LabelSpec] | None
    items: Iterable[Item]
    problems: list[Problem]


def _folder(name: str, seed: int) -> _Set:
    files = find_folder_files(Path(name.removeprefix("folder:")).expanduser(), seed)
    by_number = files.table is None or files.table.colors is None
    items = [
        Item(
            split,
            str(image),
            partial(read_image, image),
            {"": _file_mask(mask, files.read_mask, by_number)},
        )
        for split, pairs in files.splits.items()
        for image, mask in pairs.values()
    ]
    problems = [_problem_of_text(text) for text in files.problems]
    return _Set(name, {"": files.table.labels} if files.table else None, items, problems)


def _source(name: str, source: str | Path) -> _Set:
    from keras_fcn.datasets.tfds_reader import BUILDERS, find_source_files

    if name not in BUILDERS:
        open_dataset(name, source)  # says what is wrong with the name or the source
    builder, splits = find_source_files(name, source)
    labels = _by_head(builder.labels)
    items = [
        Item(
            split,
            str(files["image"]),
            partial(read_image, files["image"]),
            {
                head: _file_mask(
                    files[head or "label"], partial(builder.read_label, head=head), True
                )
                for head in labels
            },
            {
                str(files[key]): partial(read, files[key])
                for key, read in _FURTHER_READERS.items()
                if key in files
            },
        )
        for split, examples in splits.items()
        for files in examples.values()
    ]
    return _Set(name, labels, items, [])


_FURTHER_READERS = {"depth": read_depth, "hha": read_image}


def _opened(dataset: SegmentationDataset) -> _Set:
    problems: list[Problem] = []
    items = _decoded_items(dataset, problems)
    return _Set(dataset.name, _by_head(dataset.labels), items, problems)


def _by_head(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {"": value}


def _decoded_items(dataset: SegmentationDataset, problems: list[Problem]) -> Iterator[Item]:
    for split in dataset.splits:
        try:
            for example in dataset.examples(split).as_numpy_iterator():
                name = f"{split}: {example['id'].decode()}"
                yield Item(
                    split,
                    name,
                    partial(np.array, example["image"]),
                    {
                        head: Mask(f"{name} ({head})" if head else name, partial(np.array, label))
                        for head, label in _by_head(example["label"]).items()
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


def _file_mask(mask: Path, read_label: Callable[[Path], np.ndarray], by_number: bool) -> Mask:
    palette = partial(palette_of, mask) if by_number else dict
    return Mask(str(mask), partial(read_label, mask), palette)


def _report(to_check: _Set) -> CheckReport:
    all_facts = list(parallel_map(partial(examine, to_check.labels), to_check.items))
    problems = to_check.problems + [problem for facts in all_facts for problem in facts.problems]
    labels = to_check.labels
    if labels is None:
        labels = {"": _counted_labels(to_check.name, all_facts, problems)}
    splits = list(dict.fromkeys(facts.item.split for facts in all_facts))
    of_split = {split: [f for f in all_facts if f.item.split == split] for split in splits}
    counts = {head: _class_counts(of_split, head, spec) for head, spec in labels.items()}
    for head, found in counts.items():
        problems += _missing_classes(found, head)
        problems += _disagreeing_palettes(all_facts, head)
    images = [
        (f.item.split, f.item.image_name, f.digest, f.thumbnail)
        for f in all_facts
        if f.thumbnail is not None
    ]
    problems += [Problem(*found) for found in find_duplicates(images)]
    return CheckReport(
        name=to_check.name,
        problems=sorted(problems, key=lambda problem: not problem.severe),
        num_examples={split: len(facts) for split, facts in of_split.items()},
        sizes={
            split: Counter(f.size for f in facts if f.size) for split, facts in of_split.items()
        },
        counts=counts,
    )


def _counted_labels(name: str, all_facts: list[Facts], problems: list[Problem]) -> LabelSpec:
    """Returns numbered classes as the masks have them, as `open_folder` would."""
    masks = [(f.item.masks[""].name, f.counts[""]) for f in all_facts if f.counts]
    if not masks:
        return LabelSpec.numbered(2)  # that none can be read is said already
    present = np.zeros(256, bool)
    for _, counts in masks:
        present |= counts > 0
    try:
        labels = spec_of_present(present, name)
    except ValueError as error:
        problems.append(_problem_of_text(str(error)))
        return LabelSpec.numbered(2)
    highest = labels.num_classes - 1
    holders = [mask for mask, counts in masks if counts[highest]]
    if len(holders) == 1 and len(masks) > 1:
        text = (
            f"the label {highest} occurs in this mask only, and makes the set one of "
            f"{highest + 1} classes."
        )
        problems.append(Problem(holders[0], text, False))
    return labels


def _class_counts(of_split: dict[str, list[Facts]], head: str, labels: LabelSpec) -> ClassCounts:
    columns = [*range(labels.num_classes), labels.ignore_class]
    tables = {
        split: np.array([f.counts[head] for f in facts if head in f.counts], np.int64).reshape(
            -1, 256
        )[:, columns]
        for split, facts in of_split.items()
    }
    return ClassCounts(
        labels,
        pixels={split: table.sum(axis=0) for split, table in tables.items()},
        images={split: (table > 0).sum(axis=0) for split, table in tables.items()},
    )


def _missing_classes(found: ClassCounts, head: str) -> list[Problem]:
    problems = []
    for split, counts in found.pixels.items():
        names = found.labels.class_names
        missing = [name for name, count in zip(names, counts, strict=False) if count == 0]
        if missing:
            shown = ", ".join(missing[:8]) + (f" and {len(missing) - 8} more" * (len(missing) > 8))
            place = f"{split} ({head})" if head else split
            problems.append(Problem(place, f"these classes never occur: {shown}.", False))
    return problems


def _disagreeing_palettes(all_facts: list[Facts], head: str) -> list[Problem]:
    """Finds masks in which an index has another color than in the masks before."""
    first: dict[int, tuple[Color, str]] = {}
    problems = []
    for facts in all_facts:
        name = facts.item.masks[head].name
        for index, color in facts.palettes.get(head, {}).items():
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
