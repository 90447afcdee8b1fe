"""Looking through a data set for what spoils a training, before the training."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import tensorflow as tf

from keras_fcn.datasets import SegmentationDataset, open_dataset
from keras_fcn.datasets.duplicates import find_duplicates
from keras_fcn.datasets.examination import Facts, Item, Problem, examine, palette_of
from keras_fcn.datasets.folder import find_folder_files, spec_of_present
from keras_fcn.datasets.parallel import parallel_map
from keras_fcn.labels import Color, LabelSpec
from keras_fcn.preprocessing import read_image


@dataclass(frozen=True)
class CheckReport:
    """What `check` found.

    Args:
        name: The data set.
        labels: Its classes; counted in the masks where nothing names them.
        problems: What is wrong, severe problems first.
        num_examples: Number of examples by split, those with problems included.
        pixels: By split, the pixels of each class, then those ignored: int64, shape
            `(num_classes + 1,)`.
        images: By split, the masks in which each class occurs, and any ignored pixel.
        sizes: By split, how often each (height, width) occurs.
    """

    name: str
    labels: LabelSpec
    problems: list[Problem]
    num_examples: dict[str, int]
    pixels: dict[str, np.ndarray]
    images: dict[str, np.ndarray]
    sizes: dict[str, Counter[tuple[int, int]]]

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
    """Reads all of a data set and lists what is wrong with it.

    Found are files that cannot be read or have no partner, masks of another
    size than their image, labels outside the classes, masks in colours without
    a table or with smoothed edges, palettes that disagree, masks without any
    class, classes that never occur, and images that two splits share.
    A broken file does not end the search.

    Args:
        dataset: A name as for `open_dataset`, or an open data set.
        source: Folder of the files of a set that tfds prepares: the files
            themselves are checked, before anything is prepared.
        data_dir: As for `open_dataset`.
        seed: As for `open_dataset`.

    Raises:
        ValueError: If there is no such data set, or it has several label maps an image.

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
    labels: LabelSpec | None
    items: Iterable[Item]
    problems: list[Problem]


def _folder(name: str, seed: int) -> _Set:
    files = find_folder_files(Path(name.removeprefix("folder:")).expanduser(), seed)
    by_number = files.table is None or files.table.colors is None
    items = [
        _file_item(split, image, mask, files.read_mask, by_number)
        for split, pairs in files.splits.items()
        for image, mask in pairs.values()
    ]
    problems = [_problem_of_text(text) for text in files.problems]
    return _Set(name, files.table.labels if files.table else None, items, problems)


def _source(name: str, source: str | Path) -> _Set:
    from keras_fcn.datasets.prepared import BUILDERS, find_source_files

    if name not in BUILDERS:
        open_dataset(name, source)  # says what is wrong with the name or the source
    builder, splits = find_source_files(name, source)
    if not isinstance(builder.LABELS, LabelSpec):
        raise ValueError(_SEVERAL_MAPS.format(name))
    items = [
        _file_item(split, files["image"], files["label"], builder.read_label, True)
        for split, examples in splits.items()
        for files in examples.values()
    ]
    return _Set(name, builder.LABELS, items, [])


_SEVERAL_MAPS = "{!r} has several label maps an image; only sets with one can be checked."


def _opened(dataset: SegmentationDataset) -> _Set:
    if not isinstance(dataset.labels, LabelSpec):
        raise ValueError(_SEVERAL_MAPS.format(dataset.name))
    problems: list[Problem] = []
    return _Set(dataset.name, dataset.labels, _decoded_items(dataset, problems), problems)


def _decoded_items(dataset: SegmentationDataset, problems: list[Problem]) -> Iterator[Item]:
    for split in dataset.splits:
        try:
            for example in dataset.examples(split).as_numpy_iterator():
                name = f"{split}: {example['id'].decode()}"
                image, label = (
                    partial(np.array, example["image"]),
                    partial(np.array, example["label"]),
                )
                yield Item(split, name, name, image, label)
        except tf.errors.OpError as error:
            text = f"the split cannot be read to its end ({error.message})"
            problems.append(Problem(split, " ".join(text.split())))


def _file_item(
    split: str,
    image: Path,
    mask: Path,
    read_label: Callable[[Path], np.ndarray],
    by_number: bool,
) -> Item:
    palette = partial(palette_of, mask) if by_number else dict
    return Item(
        split, str(image), str(mask), partial(read_image, image), partial(read_label, mask), palette
    )


def _report(to_check: _Set) -> CheckReport:
    all_facts = list(parallel_map(partial(examine, to_check.labels), to_check.items))
    problems = to_check.problems + [problem for facts in all_facts for problem in facts.problems]
    labels = to_check.labels
    if labels is None:
        labels = _counted_labels(to_check.name, all_facts, problems)
    splits = list(dict.fromkeys(facts.item.split for facts in all_facts))
    of_split = {split: [f for f in all_facts if f.item.split == split] for split in splits}
    counts = {split: _class_counts(facts, labels) for split, facts in of_split.items()}
    pixels = {split: table.sum(axis=0) for split, table in counts.items()}
    problems += _missing_classes(pixels, labels)
    problems += _disagreeing_palettes(all_facts)
    images = [
        (f.item.split, f.item.image_name, f.digest, f.thumbnail)
        for f in all_facts
        if f.thumbnail is not None
    ]
    problems += [Problem(*found) for found in find_duplicates(images)]
    return CheckReport(
        name=to_check.name,
        labels=labels,
        problems=sorted(problems, key=lambda problem: not problem.severe),
        num_examples={split: len(facts) for split, facts in of_split.items()},
        pixels=pixels,
        images={split: (table > 0).sum(axis=0) for split, table in counts.items()},
        sizes={
            split: Counter(f.size for f in facts if f.size) for split, facts in of_split.items()
        },
    )


def _counted_labels(name: str, all_facts: list[Facts], problems: list[Problem]) -> LabelSpec:
    """Returns numbered classes as the masks have them, as `open_folder` would."""
    masks = [(f.item.label_name, f.counts) for f in all_facts if f.counts is not None]
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


def _class_counts(facts: list[Facts], labels: LabelSpec) -> np.ndarray:
    """Returns pixels of each class and ignored, shape `(masks, num_classes + 1)`."""
    counted = np.array([f.counts for f in facts if f.counts is not None], np.int64).reshape(-1, 256)
    columns = [*range(labels.num_classes), labels.ignore_class]
    return counted[:, columns]


def _missing_classes(pixels: dict[str, np.ndarray], labels: LabelSpec) -> list[Problem]:
    problems = []
    for split, counts in pixels.items():
        missing = [
            name for name, count in zip(labels.class_names, counts, strict=False) if count == 0
        ]
        if missing:
            shown = ", ".join(missing[:8]) + (f" and {len(missing) - 8} more" * (len(missing) > 8))
            problems.append(Problem(split, f"these classes never occur: {shown}.", False))
    return problems


def _disagreeing_palettes(all_facts: list[Facts]) -> list[Problem]:
    """Finds masks in which an index has another colour than in the masks before."""
    first: dict[int, tuple[Color, str]] = {}
    problems = []
    for facts in all_facts:
        for index, color in facts.palette.items():
            known, file = first.setdefault(index, (color, facts.item.label_name))
            if known != color:
                text = (
                    f"the palette gives index {index} the colour {color}, in {file} it is "
                    f"{known}. Likely cause: an editor renumbered the palette of one of them."
                )
                problems.append(Problem(facts.item.label_name, text))
                break
    return problems


def _problem_of_text(text: str) -> Problem:
    file, _, rest = text.partition(": ")
    return Problem(file, rest)
