"""A folder of the user's own images and masks.

`find_folder_files` decides everything: which files are images and masks, in which split, which
belong together (`layouts.py`), what the table of classes says (`class_table.py`), and what the
values of the masks mean (`mask_reading.py`). Training, checking, evaluating and exporting open
folders through it, so that they agree.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import tensorflow as tf
from PIL import Image

from keras_fcn.data.dataset import Example, SegmentationDataset
from keras_fcn.data.dataset_fingerprint import DatasetFingerprint, stamp_files
from keras_fcn.data.image_io import check_size, depth_problem, find_orientation, read_image
from keras_fcn.data.masks import VOID, check_labels
from keras_fcn.data.parallel import parallel_map
from keras_fcn.datasets.class_table import (
    ClassTable,
    has_guessed_encoding,
    read_class_table,
    write_class_table,
)
from keras_fcn.datasets.layouts import Pairs, find_layout
from keras_fcn.datasets.mask_reading import MaskReading, choose_reading
from keras_fcn.datasets.mask_values import (
    MaskSummary,
    colors_found,
    numbers_found,
    summarize,
)
from keras_fcn.datasets.near_copies import copies_across_splits
from keras_fcn.datasets.random_split import split_at_random
from keras_fcn.labels import Color, LabelSpec
from keras_fcn.modalities import ImageReading, image_dtype

_WRITTEN_TABLE = "classes.csv"


@dataclass(frozen=True)
class FolderOptions:
    """What the user says about a folder where it can be read in several ways.

    Args:
        image_files: Pattern of the images, relative to the folder, such as `photos/**/*.jpg`.
        mask_files: Pattern of the masks.
        ignore: Numbers in the masks that are ignored; the classes above them move down.
        num_classes: Number of classes: the numbers in the masks are class numbers, whether
            they occur or not.
        write_classes: Whether to write a table of the values that occur, if there is none.
        channels: Number of bands of the images, as of `ImageReading`.
        value_range: The values of images that become 0 and 255, likewise.
        page: Page of images with several, counted from 1.
        exif: Whether images are turned by their EXIF orientation where their masks have none:
            "apply" or "ignore". By default the sizes of images and masks decide.
    """

    image_files: str | None = None
    mask_files: str | None = None
    ignore: Sequence[int] = ()
    num_classes: int | None = None
    write_classes: bool = False
    channels: int | None = None
    value_range: tuple[float, float] | None = None
    page: int | None = None
    exif: Literal["apply", "ignore"] | None = None

    def __post_init__(self) -> None:
        if self.exif not in (None, "apply", "ignore"):
            raise ValueError(f'`exif` must be "apply" or "ignore". Received: {self.exif!r}.')

    @property
    def image_reading(self) -> ImageReading:
        """How image files are read."""
        return ImageReading(self.channels, self.value_range, self.page)


@dataclass(frozen=True)
class FolderFiles:
    """The files of a folder, by what they are, and how they are read.

    Args:
        splits: Pairs of image and masks by split.
        table: The table of classes, if there is one.
        reading: How masks are read; `None` if that is not clear.
        counts: By mask, the pixels of each label, shape `(256,)`.
        notes: What was taken, a sentence each.
        problems: What is wrong with the files, one sentence each that names the file.
        wrong: Masks that cannot be read; reading one says why.
        image_reading: How image files are read.
        unturned: Images whose EXIF orientation is not applied.
    """

    splits: Mapping[str, Pairs]
    table: ClassTable | None
    reading: MaskReading | None
    counts: Mapping[Path, np.ndarray]
    notes: list[str]
    problems: list[str]
    wrong: list[Path] = field(default_factory=list)
    image_reading: ImageReading = field(default_factory=ImageReading)
    unturned: frozenset[Path] = frozenset()

    def read_image(self, path: Path) -> np.ndarray:
        """Returns an image; errors as of `keras_fcn.data.image_io.read_image`."""
        return read_image(path, self.image_reading, is_turned=path not in self.unturned)

    def read_label(self, masks: Sequence[Path]) -> np.ndarray:
        """Returns the labels of an image from its masks.

        Raises:
            ValueError: If a mask contains what is no class. The message names the file.
        """
        reading = self.reading or MaskReading(LabelSpec.numbered(255))
        label = reading.read(masks)
        if self.reading is not None:
            check_labels(label, self.reading.labels, masks[0])
        return label

    def pixels(self, split: str) -> np.ndarray | None:
        """Returns the pixels of each class of a split, then those ignored, if they are counted."""
        counts = [self.counts.get(masks[0]) for _, masks in self.splits[split].values()]
        if self.reading is None or any(count is None for count in counts):
            return None
        total = sum(count for count in counts if count is not None)
        return np.asarray(total)[[*range(self.reading.labels.num_classes), VOID]]


def open_folder(
    path: str | Path, seed: int = 0, options: FolderOptions | None = None
) -> SegmentationDataset:
    """Opens a folder of images and masks; nothing is copied, files are read when needed.

    Args:
        path: The folder.
        seed: Decides which images are `val` if the folder does not.
        options: What the user says about it.

    Raises:
        ValueError: If the layout is not known, images and masks do not
            match, or it is not clear what the masks mean.
    """
    root = Path(path).expanduser()
    files = find_folder_files(root, seed, options)
    _raise_first(files, path)
    reading = files.reading
    assert reading is not None

    def read(image_path: bytes, mask_paths: bytes) -> tuple[np.ndarray, np.ndarray]:
        image_file = Path(image_path.decode())
        masks = [Path(mask) for mask in mask_paths.decode().split("\n")]
        image, label = files.read_image(image_file), files.read_label(masks)
        check_size(image_file, image.shape[:2], masks[0], label.shape)
        return image, label

    dtype = image_dtype(files.image_reading.num_channels)

    def decode(record: Example) -> Example:
        image, label = tf.numpy_function(
            read, [record["image"], record["label"]], (dtype, tf.uint8), stateful=False
        )
        return {
            "image": tf.ensure_shape(image, (None, None, files.image_reading.num_channels)),
            "label": tf.ensure_shape(label, (None, None)),
            "id": record["id"],
        }

    return SegmentationDataset(
        name=f"folder:{path}",
        labels=reading.labels,
        splits={split: len(pairs) for split, pairs in files.splits.items()},
        records=lambda split: _records(files.splits[split]),
        decode=decode,
        description=f"Images and masks of the folder {root}.",
        notes=tuple(files.notes),
        pixels={
            split: tuple(int(count) for count in pixels)
            for split in files.splits
            if (pixels := files.pixels(split)) is not None
        },
        image_reading=files.image_reading,
        find_copies=partial(
            copies_across_splits,
            root,
            {
                split: [image for image, _ in pairs.values()]
                for split, pairs in files.splits.items()
            },
        ),
        find_fingerprint=partial(_fingerprint, root, files),
    )


def find_folder_files(
    root: Path, seed: int = 0, options: FolderOptions | None = None
) -> FolderFiles:
    """Returns the pairs of image and masks in each split, how masks are read, and what is wrong.

    Args:
        root: The folder.
        seed: Decides which images are `val` if the folder does not.
        options: What the user says about it.

    Raises:
        ValueError: If the layout is not known, there are no images, or a table of classes cannot
            be understood.
    """
    options = options or FolderOptions()
    layout = find_layout(
        root,
        _names_in,
        options.image_files,
        options.mask_files,
        with_arrays=options.channels is not None,
    )
    notes, problems = list(layout.notes), list(layout.problems)
    splits = dict(layout.splits)
    is_random = "trainval" in splits
    empty = [split for split, pairs in splits.items() if not pairs]
    if not splits or (empty and not problems):
        raise ValueError(
            problems[0]
            if problems
            else f"{root}: there are no images in the split {(empty or ['train'])[0]!r}."
        )
    table = _table(root, layout.tables, notes, problems)
    masks = [mask for pairs in splits.values() for _, found in pairs.values() for mask in found]
    summaries = summarize(masks)
    if options.write_classes:
        if table is not None:
            notes.append(f"--write-classes has nothing to do: there is {_shown(root, table.path)}.")
        else:
            table = _write_table(root, summaries, notes)
    chosen = choose_reading(
        summaries,
        table,
        place=str(root),
        ignore=options.ignore,
        num_classes=options.num_classes,
        class_masks=layout.class_masks,
    )
    problems += chosen.problems
    if chosen.reading is None and not chosen.problems:
        problems += [] if chosen.wrong else [f"{root}: no mask can be read."]
    if is_random:
        trainval = splits.pop("trainval")
        splits = {**_split(root, trainval, seed, chosen.counts, notes, problems), **splits}
    images = [image for pairs in splits.values() for image, _ in pairs.values()]
    if problem := depth_problem(images, options.image_reading):
        problems.append(problem)
    unturned = _unturned(splits, options.exif, notes, problems)
    places = ", ".join(f"{split} {len(pairs):,}" for split, pairs in splits.items())
    how = " (train and val at random, the same ones each time)" if is_random else ""
    notes.insert(
        0,
        f"Images in {_places(root, images)}, masks in {_places(root, masks)}, splits: "
        f"{places}{how}.",
    )
    return FolderFiles(
        splits,
        table,
        chosen.reading,
        chosen.counts,
        notes + chosen.notes,
        problems,
        chosen.wrong,
        options.image_reading,
        unturned,
    )


def _fingerprint(
    root: Path, files: FolderFiles, splits: Sequence[str], known: DatasetFingerprint | None
) -> DatasetFingerprint:
    assert files.reading is not None

    def role(mask: Path) -> str:
        label = files.reading.class_labels.get(mask) if files.reading else None
        return "mask" if label is None else f"mask of class {label}"

    paths = {
        split: {
            id_: [("image", image), *((role(mask), mask) for mask in masks)]
            for id_, (image, masks) in files.splits[split].items()
        }
        for split in splits
    }
    reading = files.reading.to_dict()
    if files.table is not None:
        reading["table"] = _shown(root, files.table.path)
    return DatasetFingerprint(stamp_files(paths, root, known), reading)


def _raise_first(files: FolderFiles, path: str | Path) -> None:
    """Raises ValueError for the first problem of a folder, if there is one."""
    problem = files.problems[0] if files.problems else ""
    if not problem and files.wrong:
        try:
            files.read_label([files.wrong[0]])
            problem = f"{files.wrong[0]}: the mask cannot be read."
        except FileNotFoundError:
            problem = f"{files.wrong[0]}: the file is missing."
        except ValueError as error:
            problem = str(error)
    if problem:
        others = len(files.problems) + len(files.wrong) - 1
        more = (
            f" {others} more problem{'s' * (others > 1)}; run: keras-fcn datasets check --dataset "
            f"folder:{path}"
        )
        raise ValueError(problem + more * (others > 0))


def _names_in(table: Path) -> tuple[str, ...]:
    return read_class_table(table).labels.class_names


def _table(
    root: Path, paths: Sequence[Path], notes: list[str], problems: list[str]
) -> ClassTable | None:
    """Returns the table of classes: the first, of which those in subfolders must be copies."""
    if not paths:
        return None
    table = read_class_table(paths[0])
    notes.append(f"Classes: {_shown(root, table.path)}.")
    if has_guessed_encoding(table.path):
        foreign = [name for name in table.labels.class_names if not name.isascii()]
        shown = f": {', '.join(foreign[:3])}" * bool(foreign)
        notes.append(
            f"{_shown(root, table.path)} is not in UTF-8 and was read as Western Windows{shown}. "
            "If names are wrong, save it as UTF-8."
        )
    for path in paths[1:]:
        if path.parent == paths[0].parent or paths[0].parent in path.parents:
            same = _is_same(path, table)
            if not same:
                notes.append(f"Not used: {_shown(root, path)}, another table.")
        elif not _is_same(path, table):
            problems.append(
                f"{path}: the table gives other classes than {paths[0]}. Write one table into "
                f"{root}."
            )
    return table


def _is_same(path: Path, table: ClassTable) -> bool:
    try:
        other = read_class_table(path)
    except ValueError:
        return False
    return (other.labels, other.colors, other.numbers) == (
        table.labels,
        table.colors,
        table.numbers,
    )


def _write_table(root: Path, summaries: Sequence[MaskSummary], notes: list[str]) -> ClassTable:
    """Writes a table of the values or colors that occur in the masks.

    Raises:
        ValueError: If there are more than can be classes.
    """
    readable = [summary for summary in summaries if not summary.error]
    if not readable:
        raise ValueError(f"{root}: no mask can be read, so that no table can be written.")
    colors = colors_found(readable)
    rows: list[tuple[int | None, str, Color | None]]
    if colors is not None:
        rows = [(None, f"class {label}", color) for label, color in enumerate(colors)]
    else:
        numbers = numbers_found(readable)
        if numbers == [0, VOID]:
            rows = [(0, "background", None), (VOID, "object", None)]
        else:
            classes = [number for number in numbers if number != VOID]
            rows = [(number, f"class {label}", None) for label, number in enumerate(classes)]
            rows += [(VOID, "ignore", None)] * (VOID in numbers)
    if not 2 <= len(rows) <= 255 or any(summary.lossy for summary in readable):
        raise ValueError(
            f"{root}: the masks contain {len(rows)} values, from which no table of 2 to 255 "
            "classes can be written."
            + " They look as after a lossy compression."
            * any(s.lossy for s in readable)
        )
    path = root / _WRITTEN_TABLE
    write_class_table(path, rows)
    shown = ", ".join(f"{color or number} is {name!r}" for number, name, color in rows[:8])
    shown += f" and {len(rows) - 8} more" * (len(rows) > 8)
    notes.append(f"Written: {_shown(root, path)} ({shown}). Edit the names there.")
    return read_class_table(path)


def _split(
    root: Path,
    pairs: Pairs,
    seed: int,
    counts: Mapping[Path, np.ndarray],
    notes: list[str],
    problems: list[str],
) -> dict[str, Pairs]:
    """Returns train and val of a folder that does not say which is which."""
    if problems:
        return {"train": pairs}
    if len(pairs) == 1:
        problems.append(
            f"{root}: one image cannot be split into train and val. Add images, or list them in "
            "train.txt and val.txt."
        )
        return {"train": pairs}
    classes = {
        name: frozenset(np.flatnonzero(counts[masks[0]][:VOID]).tolist())
        for name, (_, masks) in pairs.items()
        if masks[0] in counts
    }
    chosen = split_at_random(root, {name: pair[0] for name, pair in pairs.items()}, classes, seed)
    notes += chosen.notes
    return {
        "train": {name: pair for name, pair in pairs.items() if name not in chosen.val},
        "val": {name: pair for name, pair in pairs.items() if name in chosen.val},
    }


def _unturned(
    splits: Mapping[str, Pairs], exif: str | None, notes: list[str], problems: list[str]
) -> frozenset[Path]:
    """Returns the images whose EXIF orientation is not applied, because their masks lie so.

    A file is turned by its own orientation. Where an image has one and its mask has none, the mask
    was drawn either on the picture as it is shown or on the pixels as they are stored. The sizes
    tell which, unless the image is square or upside down; then the other images do.
    """
    pairs = [pair for of_split in splits.values() for pair in of_split.values()]
    orientations = parallel_map(lambda pair: find_orientation(pair[0]), pairs)
    found: dict[str, list[Path]] = {"apply": [], "ignore": [], "open": []}
    for (image, masks), orientation in zip(pairs, orientations, strict=True):
        if orientation != 1 and find_orientation(masks[0]) == 1:
            found[_lies_as(image, masks[0], orientation)].append(image)
    count = sum(map(len, found.values()))
    if not count:
        return frozenset()
    if exif:
        return frozenset(p for paths in found.values() for p in paths if exif == "ignore")
    if found["open"] and bool(found["apply"]) == bool(found["ignore"]):
        problems.append(
            f"{found['open'][0]}: the image has an EXIF orientation and its mask has none, and "
            "their sizes do not tell whether the mask was drawn on the picture as it is shown or "
            "as it is stored. Say which by --exif apply (as shown) or --exif ignore (as stored)."
        )
        return frozenset()
    ignored = found["ignore"] + found["open"] * bool(found["ignore"])
    notes.append(
        f"{count} images have an EXIF orientation and their masks have none: by the sizes, "
        f"{count - len(ignored)} masks lie as the picture is shown, {len(ignored)} as it is stored."
    )
    return frozenset(ignored)


def _lies_as(image: Path, mask: Path, orientation: int) -> str:
    """Returns whether an orientation must be applied for an image to have its mask's size."""
    try:
        with Image.open(image) as opened, Image.open(mask) as opened_mask:
            stored, wanted = opened.size, opened_mask.size
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return "open"
    shown = stored[::-1] if orientation >= 5 else stored
    if shown == stored == wanted:
        return "open"
    return "ignore" if stored == wanted else "apply"


def _records(pairs: Pairs) -> tf.data.Dataset:
    return tf.data.Dataset.from_tensor_slices(
        {
            "image": [str(image) for image, _ in pairs.values()],
            "label": ["\n".join(map(str, masks)) for _, masks in pairs.values()],
            "id": list(pairs),
        }
    )


def _places(root: Path, paths: Sequence[Path]) -> str:
    """Returns the folders of files, up to three."""
    found = dict.fromkeys(_shown(root, path.parent) for path in paths)
    shown = list(found)
    return ", ".join(shown[:3]) + (f" and {len(shown) - 3} more" if len(shown) > 3 else "")


def _shown(root: Path, path: Path) -> str:
    relative = path.relative_to(root).as_posix()
    return f"{relative}/" if path.is_dir() else relative
