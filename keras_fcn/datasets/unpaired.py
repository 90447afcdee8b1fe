"""What may be the cause, and the way out, where an image has no mask or a mask has no image."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from keras_fcn.datasets.folder_names import (
    IMAGE_AFFIXES,
    MASK_AFFIXES,
    NO_MASK,
    composed,
    name_forms,
)
from keras_fcn.datasets.pairing import PlacedFile


def missing_mask(image: PlacedFile, where: str = "") -> str:
    """Returns that an image has no mask."""
    return (
        f"{image.path}: there is no mask of that name{where} (expected {image.path.stem}.png, for "
        "example)."
    )


def why_no_mask(
    image: PlacedFile, masks: Sequence[PlacedFile], others: Iterable[Path], has_split: bool
) -> str:
    """Returns the cause that can be seen from the files, a sentence with a space before it.

    Args:
        image: An image without a mask.
        masks: All masks, those included that are left out for their names.
        others: The files that are no pictures.
        has_split: Whether other images of its split have masks.
    """
    forms = _forms(image.path.stem, IMAGE_AFFIXES)
    no_maps = [m for m in masks if NO_MASK.search(m.path.stem) and not forms.isdisjoint(_begin(m))]
    if no_maps:
        return (
            f" {no_maps[0].path.name} contains instances or colors, not label maps: expected "
            "names that end in _labelIds or _labelTrainIds. Choose it with --masks GLOB if it is "
            "meant."
        )
    same = [m for m in masks if not forms.isdisjoint(_forms(m.path.stem, MASK_AFFIXES))]
    same = [m for m in same if image.split is None or m.split in (None, image.split)]
    if len({m.path.parent for m in same}) > 1:
        return (
            f" Several folders have a file of that name ({same[0].path.parent.name}/ and "
            f"{same[1].path.parent.name}/): choose with --masks GLOB."
        )
    unread = _of_other_format(forms, others)
    if unread:
        return f" {unread} is no picture that can be read; save the label map as PNG."
    if image.split in ("train", "val") and not has_split:
        return (
            f" No image of the split {image.split!r} has a mask. Add them, or move these images "
            "out of this folder."
        )
    return ""


def named_elsewhere(mask: str | None) -> str:
    """Returns the way out where a list names a mask that is not found by its name."""
    return (
        f" The list names {mask!r}, and masks are found by names and folders: rename it as its "
        "image, in a folder masks/, or choose with --masks GLOB."
        if mask
        else ""
    )


def missing_image(mask: PlacedFile, place: str, others: Iterable[Path]) -> str:
    """Returns that a mask has no image, with the cause if the files show it."""
    text = f"{mask.path}: there is no image of that name in {place}. "
    unread = _of_other_format(_forms(mask.path.stem, MASK_AFFIXES), others)
    if unread:
        return f"{text}{unread} is of a format that is not read: convert it to JPEG, PNG or TIFF."
    return f"{text}If it is no mask, move it, or choose the masks by --masks GLOB."


def _forms(stem: str, affixes: Sequence[str]) -> set[str]:
    return {composed(form).lower() for form in name_forms(stem, affixes)}


def _begin(mask: PlacedFile) -> set[str]:
    return _forms(NO_MASK.sub("", mask.path.stem), MASK_AFFIXES)


def _of_other_format(forms: set[str], others: Iterable[Path]) -> str | None:
    found = (path.name for path in others if composed(path.stem).lower() in forms)
    return next(found, None)
