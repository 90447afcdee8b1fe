"""Which classes two networks have in common, and the weights of those classes."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_fcn.labels import Heads, LabelSpec


@dataclass(frozen=True)
class ClassMatch:
    """Which classes of a head are in both of two networks.

    Args:
        old: Names of the classes in the network that weights come from.
        new: Names in the one that they are for.
        sources: Indices of the common classes in `old`.
        targets: Their indices in `new`.
        by_number: Whether they were matched by number, because one network has no names.
    """

    old: tuple[str, ...]
    new: tuple[str, ...]
    sources: tuple[int, ...]
    targets: tuple[int, ...]
    by_number: bool = False

    @property
    def is_identity(self) -> bool:
        """Whether the classes are the same in the same order."""
        return self.sources == self.targets == tuple(range(len(self.old))) and (
            len(self.old) == len(self.new)
        )

    def __str__(self) -> str:
        parts = [f"{n} {'kept' if i in self.targets else 'new'}" for i, n in enumerate(self.new)]
        parts += [f"{n} left out" for i, n in enumerate(self.old) if i not in self.sources]
        return ", ".join(parts) + (" (by number, for want of names)" if self.by_number else "")


def match_classes(old: LabelSpec, new: LabelSpec) -> ClassMatch:
    """Returns the common classes: by name where both have names, else by number.

    >>> old, new = (LabelSpec(names) for names in (("sky", "cat", "dog"), ("sky", "dog", "car")))
    >>> print(match_classes(old, new))
    sky kept, dog kept, car new, cat left out
    """
    by_number = is_numbered(old) or is_numbered(new)
    if by_number:
        sources = targets = tuple(range(min(old.num_classes, new.num_classes)))
    else:
        names = [name for name in new.class_names if name in old.class_names]
        sources = tuple(old.class_names.index(name) for name in names)
        targets = tuple(new.class_names.index(name) for name in names)
    return ClassMatch(old.class_names, new.class_names, sources, targets, by_number)


def match_heads(source: Any, target: Any) -> dict[str, ClassMatch]:
    """Returns the match of each head that both networks have; none where one is no `FCN`."""
    ours, theirs = getattr(source, "heads", None), getattr(target, "heads", None)
    if not (isinstance(ours, Heads) and isinstance(theirs, Heads)):
        return {}
    return {head: match_classes(ours[head], spec) for head, spec in theirs.items() if head in ours}


def match_of_layer(
    layer_name: str, matches: dict[str, ClassMatch], target: Any
) -> ClassMatch | None:
    """Returns the match of the head that a score or upsampling layer belongs to."""
    if not layer_name.startswith(("score", "upscore")):
        return None
    if layer_name.startswith("score"):  # the sums of the streams are upsampled
        streams = (s for s in getattr(target, "streams", ()) if layer_name.endswith(s))
        layer_name = layer_name.removesuffix(next(streams, ""))
    # No name of a head ends with another one's, see `Heads`.
    found = (head for head in matches if layer_name.endswith(target.heads.suffix(head)))
    return next((matches[head] for head in found), None)


def merge_classes(
    layer_name: str, old: np.ndarray, new: np.ndarray, classes: ClassMatch
) -> np.ndarray:
    """Returns weights of a layer: `new` with the common classes from `old`."""
    merged = new.copy()
    sources, targets = list(classes.sources), list(classes.targets)
    if layer_name.startswith("upscore"):  # a transposed convolution: height, width, out, in
        rows, columns = np.ix_(targets, targets)
        merged[:, :, rows, columns] = old[:, :, sources][..., sources]
    else:
        merged[..., targets] = old[..., sources]
    return merged


def is_numbered(spec: LabelSpec) -> bool:
    """Returns whether classes have no names of their own, but `class 0`, `class 1`, ..."""
    return spec.class_names == tuple(f"class {index}" for index in range(spec.num_classes))
