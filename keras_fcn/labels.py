"""What the classes of a label map mean."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from numbers import Integral
from typing import Any

Color = tuple[int, int, int]

# Names of a class 0 that means that there is no object.
BACKGROUND_NAMES = frozenset({"background", "_background_", "__background__"})
# Names that tools and people give to pixels that count nowhere.
IGNORED_NAMES = frozenset({"void", "ignore", "ignored", "__ignore__"})


@dataclass(frozen=True)
class LabelSpec:
    """The classes of a label map: their names, their colors, and the label to ignore.

    A dataset, a model and every exported model contain it, so that a label map
    can be colored, evaluated and read at any stage.

    Args:
        class_names: One name per class, in the order of the labels `0, 1, ...`.
        palette: One `(red, green, blue)` per class, each 0..255. The PASCAL VOC palette by
            default.
        ignore_class: The label of pixels that count nowhere: outside the classes, and at most
            255, because label maps are uint8.
        unscored: Names of the classes that enter no mean IoU: those that the dataset's test
            images do not show. Predicting them still counts as an error.

    Raises:
        ValueError: If there are fewer than 2 or more than 255 classes, names
            repeat, the palette has another length, `ignore_class` is a class or not in
            [0, 255], or `unscored` names none or all of them.

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
                f"`palette` must contain one color per class. Received: {len(self.palette)} colors "
                f"for {self.num_classes} classes."
            )
        check_ignore_class(self.ignore_class, self.num_classes)
        check_is_uint8(self.ignore_class)
        object.__setattr__(self, "ignore_class", int(self.ignore_class))  # of NumPy: not for JSON
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
        """Labels of the classes that enter no mean IoU."""
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
            del values["unscored"]  # as in files from before this field existed
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


# Names that layers (`score_fr`, `score_pool4`) and metrics (`val_loss`) have already.
_RESERVED_HEADS = ("fr", "pool2", "pool3", "pool4", "fused", "val")
# What users pass and get: one spec for a single head, else one per head by name.
Labels = LabelSpec | dict[str, LabelSpec]


class Heads(Mapping[str, LabelSpec]):
    """The heads of a network, or the label maps of a dataset: one `LabelSpec` per name.

    It is always a mapping. Most networks have a single head without a name of its own; their
    `Heads` is a mapping of one, whose key is `ONLY`. The outputs of such a network are single
    tensors, not dictionaries: `by_name` and `unwrapped` convert from one to the other, at the
    edges of the package, so that everything between them works on dictionaries.

    Args:
        labels: A `LabelSpec` for a single head without a name, or a `LabelSpec` per name.

    Raises:
        TypeError: If `labels` is neither.
        ValueError: If there is no head, or the name of one would give two layers, files or metrics
            the same name.

    Example:
        >>> heads = Heads(LabelSpec(("background", "cat")))
        >>> list(heads), heads.by_name([0, 1]), heads.prefix("segmentation")
        (['segmentation'], {'segmentation': [0, 1]}, '')
        >>> heads = Heads({"shape": LabelSpec(("disc", "star"))})
        >>> list(heads), heads.by_name({"shape": [0, 1]}), heads.prefix("shape")
        (['shape'], {'shape': [0, 1]}, 'shape_')
    """

    ONLY = "segmentation"

    def __init__(self, labels: LabelSpec | Mapping[str, LabelSpec]) -> None:
        self.is_named = not isinstance(labels, LabelSpec)
        specs = dict(labels) if isinstance(labels, Mapping) else {self.ONLY: labels}
        if not all(isinstance(spec, LabelSpec) for spec in specs.values()):
            raise TypeError(
                "`labels` must be a LabelSpec, or a dictionary of them by head. "
                f"Received: {labels!r}."
            )
        if not specs:
            raise ValueError("`labels` must have at least one head. Received: none.")
        if self.is_named:
            _check_head_names(list(specs))
        if isinstance(labels, Heads):
            self.is_named = labels.is_named
        self._specs: dict[str, LabelSpec] = specs

    def __getitem__(self, head: str) -> LabelSpec:
        return self._specs[head]

    def __iter__(self) -> Iterator[str]:
        return iter(self._specs)

    def __len__(self) -> int:
        return len(self._specs)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Heads)
            and self.is_named == other.is_named
            and self._specs == other._specs
        )

    def __hash__(self) -> int:
        return hash((self.is_named, tuple(self._specs.items())))

    def __repr__(self) -> str:
        return f"Heads({self.labels!r})"

    @property
    def labels(self) -> Labels:
        """The `LabelSpec` of a single head without a name, else a dictionary of them."""
        return self.unwrapped(self._specs)

    def by_name(self, value: Any) -> dict[str, Any]:
        """Returns the value of each head; for a single head without a name, `value` itself."""
        return dict(value) if self.is_named else {self.ONLY: value}

    def unwrapped(self, values: Mapping[str, Any]) -> Any:
        """Returns the inverse of `by_name`: the single value, or a dictionary by head."""
        return dict(values) if self.is_named else values[self.ONLY]

    def prefix(self, head: str) -> str:
        """Returns the prefix of a head's outputs, files and metrics, such as `shape_`."""
        return f"{head}_" if self.is_named else ""

    def suffix(self, head: str) -> str:
        """Returns the suffix of a head's layers, such as `_shape`."""
        return f"_{head}" if self.is_named else ""

    def to_json(self) -> str:
        """Returns the text of `labels.json`, the file in every exported model."""
        return json.dumps(self.to_dict(), indent=1)

    @classmethod
    def from_json(cls, text: str) -> "Heads":
        """Returns the heads that `to_json` described."""
        return cls.from_dict(json.loads(text))

    def to_dict(self) -> dict[str, Any]:
        """Returns plain values: those of the single spec, or `heads` with one entry per head."""
        specs = {head: spec.to_dict() for head, spec in self.items()}
        return {"heads": specs} if self.is_named else specs[self.ONLY]

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Heads":
        """Returns the heads that `to_dict` described."""
        if "heads" in values:
            return cls({name: LabelSpec.from_dict(spec) for name, spec in values["heads"].items()})
        return cls(LabelSpec.from_dict(values))


def _check_head_names(names: list[str]) -> None:
    """Raises ValueError if the layers, files or metrics of heads would have the same names."""
    for name in names:
        if name in _RESERVED_HEADS or name.startswith("val_"):
            raise ValueError(
                f"A head must not be called {name!r}: layers or metrics have such names. "
                f"Received: heads {', '.join(names)}. Reserved are {', '.join(_RESERVED_HEADS)}, "
                "and names that begin with val_."
            )
        for other in names:
            # The predictions for photo.jpg of `b_a` and for photo_b.jpg of `a` are photo_b_a.png.
            if name.casefold().endswith(f"_{other.casefold()}"):
                raise ValueError(
                    f"The name of a head must not end with _ and that of another one, because "
                    f"layers and files get the names of heads as suffixes. Received: {name!r} and "
                    f"{other!r}. Rename one of them."
                )
            if name != other and name.casefold() == other.casefold():
                raise ValueError(
                    "The names of heads must differ in more than capitals, because some file "
                    f"systems do not distinguish them. Received: {name!r} and {other!r}."
                )


def check_num_classes(num_classes: int) -> None:
    """Raises ValueError unless `num_classes` is a whole number from 2 to 255."""
    if isinstance(num_classes, bool) or not isinstance(num_classes, Integral):
        raise ValueError(
            f"`num_classes` must be a whole number. Received: num_classes={num_classes!r}."
        )
    if not 2 <= num_classes <= 255:
        raise ValueError(
            "`num_classes` must be in [2, 255]: label maps are uint8, and 255 marks ignored "
            f"pixels. Received: num_classes={num_classes}. For one class against the rest, use 2."
        )


def check_ignore_class(ignore_class: int | None, num_classes: int | None = None) -> None:
    """Raises ValueError unless `ignore_class` is None or a whole number outside the classes."""
    if ignore_class is None:
        return
    if isinstance(ignore_class, bool) or not isinstance(ignore_class, Integral):
        raise ValueError(
            "`ignore_class` must be a whole number or None. "
            f"Received: ignore_class={ignore_class!r}."
        )
    if num_classes is not None and 0 <= ignore_class < num_classes:
        raise ValueError(
            f"`ignore_class` must be outside the classes [0, {num_classes}). "
            f"Received: ignore_class={ignore_class}."
        )


def check_is_uint8(ignore_class: int | None) -> None:
    """Raises ValueError unless a label map, which is uint8, can contain `ignore_class`.

    Another number would be stored as its remainder by 256, which may be a class: 300 as 44.
    """
    if ignore_class is None or not 0 <= ignore_class <= 255:
        raise ValueError(
            "`ignore_class` must be in [0, 255], because label maps are uint8. "
            f"Received: ignore_class={ignore_class!r}. If no pixel is ignored, leave it at 255."
        )


def voc_palette(num_colors: int) -> tuple[Color, ...]:
    """Returns the first colors of the PASCAL VOC palette, computed from the bits of the index.

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
