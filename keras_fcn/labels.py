"""What the classes of a label map mean."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

Color = tuple[int, int, int]


@dataclass(frozen=True)
class LabelSpec:
    """The classes of a label map: their names, their colours, and the label to ignore.

    It travels with a data set, a model, and every exported artifact, so that
    a label map can be coloured, scored and read at any stage.

    Args:
        class_names: One name a class, in the order of the labels `0, 1, ...`.
        palette: One `(red, green, blue)` a class, each 0..255. Without it the
            PASCAL VOC palette is taken.
        ignore_class: The label of pixels that count nowhere, outside the classes.
        unscored: Names of the classes that enter no mean IU: those that the data set's test
            images do not show. Predicting them is as wrong as ever.

    Raises:
        ValueError: If there are fewer than 2 or more than 255 classes, names
            repeat, the palette has another length, `ignore_class` is a class, or `unscored`
            names none or all of them.

    Example:
        >>> LabelSpec(("background", "cat")).palette
        ((0, 0, 0), (128, 0, 0))
    """

    class_names: tuple[str, ...]
    palette: tuple[Color, ...] = ()
    ignore_class: int = 255
    unscored: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        # Lists (from JSON) become tuples, so that equal specs compare equal.
        object.__setattr__(self, "class_names", tuple(str(name) for name in self.class_names))
        object.__setattr__(self, "palette", tuple(tuple(color) for color in self.palette))
        check_num_classes(self.num_classes)
        if not self.palette:
            object.__setattr__(self, "palette", voc_palette(self.num_classes))
        if len(set(self.class_names)) != self.num_classes:
            raise ValueError(f"`class_names` must not repeat. Received: {self.class_names}.")
        if len(self.palette) != self.num_classes:
            raise ValueError(
                f"`palette` must hold one colour a class. Received: {len(self.palette)} colours "
                f"for {self.num_classes} classes."
            )
        check_ignore_class(self.ignore_class, self.num_classes)
        object.__setattr__(self, "unscored", tuple(self.unscored))
        if not set(self.unscored) < set(self.class_names):
            raise ValueError(
                "`unscored` must name classes, and not all of them. Received: "
                f"{', '.join(self.unscored)}."
            )

    @property
    def num_classes(self) -> int:
        """Number of classes, background included."""
        return len(self.class_names)

    @property
    def unscored_labels(self) -> tuple[int, ...]:
        """Labels of the classes that enter no mean IU."""
        return tuple(self.class_names.index(name) for name in self.unscored)

    @classmethod
    def numbered(cls, num_classes: int, ignore_class: int = 255) -> "LabelSpec":
        """Returns a spec whose classes are called `class 0`, `class 1`, ..."""
        check_num_classes(num_classes)
        return cls(tuple(f"class {i}" for i in range(num_classes)), ignore_class=ignore_class)

    def to_dict(self) -> dict[str, Any]:
        """Returns plain lists and numbers, for JSON."""
        values = asdict(self)
        if not self.unscored:
            del values["unscored"]  # as the files that were written before there were any
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "LabelSpec":
        """Returns the spec that `to_dict` described."""
        return cls(
            values["class_names"],
            values["palette"],
            values["ignore_class"],
            values.get("unscored", ()),
        )


# One spec for a model with a single head, else one for each named head.
Labels = LabelSpec | dict[str, LabelSpec]


def labels_to_json(labels: Labels) -> str:
    """Returns the text of `labels.json`, the file that exported artifacts carry."""
    if isinstance(labels, LabelSpec):
        return json.dumps(labels.to_dict(), indent=1)
    return json.dumps({"heads": {name: spec.to_dict() for name, spec in labels.items()}}, indent=1)


def labels_from_json(text: str) -> Labels:
    """Returns the labels that `labels_to_json` wrote."""
    values = json.loads(text)
    if "heads" in values:
        return {name: LabelSpec.from_dict(spec) for name, spec in values["heads"].items()}
    return LabelSpec.from_dict(values)


def check_num_classes(num_classes: int) -> None:
    """Raises ValueError unless `num_classes` is a whole number from 2 to 255."""
    if isinstance(num_classes, bool) or not isinstance(num_classes, int):
        raise ValueError(
            f"`num_classes` must be a whole number. Received: num_classes={num_classes!r}."
        )
    if not 2 <= num_classes <= 255:
        raise ValueError(
            "`num_classes` must lie in [2, 255]: label maps are uint8, and 255 marks ignored "
            f"pixels. Received: num_classes={num_classes}. For one class against the rest, use 2."
        )


def check_ignore_class(ignore_class: int | None, num_classes: int | None = None) -> None:
    """Raises ValueError unless `ignore_class` is None or a whole number outside the classes."""
    if ignore_class is None:
        return
    if isinstance(ignore_class, bool) or not isinstance(ignore_class, int):
        raise ValueError(
            "`ignore_class` must be a whole number or None. "
            f"Received: ignore_class={ignore_class!r}."
        )
    if num_classes is not None and 0 <= ignore_class < num_classes:
        raise ValueError(
            f"`ignore_class` must lie outside the classes [0, {num_classes}). "
            f"Received: ignore_class={ignore_class}."
        )


def voc_palette(num_colors: int) -> tuple[Color, ...]:
    """Returns the first colours of the PASCAL VOC palette, which spreads the bits of the index.

    Bits 0, 3, 6 of the index become the top bits of red, bits 1, 4, 7 of
    green, and bits 2, 5 of blue.

    >>> voc_palette(3)
    ((0, 0, 0), (128, 0, 0), (0, 128, 0))
    """
    return tuple(
        tuple(  # type: ignore[misc]
            sum(((index >> (3 * bit + channel)) & 1) << (7 - bit) for bit in range(3))
            for channel in range(3)
        )
        for index in range(num_colors)
    )
