"""Which masks belong to which image, by their names."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from keras_fcn.datasets.folder_names import IMAGE_AFFIXES, MASK_AFFIXES, composed, name_forms


@dataclass(frozen=True)
class PlacedFile:
    """A picture and what the folders on its path say of it.

    Args:
        path: The file.
        parts: The folders on its path.
        role: `"image"`, `"mask"`, or `None` if they do not say.
        word: The word that gives the role.
        split: Its split, or `None`.
        groups: The folders that say nothing, such as cities.
    """

    path: Path
    parts: tuple[str, ...]
    role: str | None
    word: str
    split: str | None
    groups: tuple[str, ...]

    def key(self, stem: str | None = None) -> str:
        """Returns the groups and the name without its extension."""
        return "/".join((*self.groups, self.path.stem if stem is None else stem))


class Matching:
    """Pairs of images with masks, found in passes from the strictest to the loosest.

    Args:
        images: The images.
        masks: The masks.
    """

    def __init__(self, images: Sequence[PlacedFile], masks: Sequence[PlacedFile]) -> None:
        self.images = images
        self.masks = masks
        self.masks_of: dict[PlacedFile, list[PlacedFile]] = {}
        self.used: set[Path] = set()
        self._image_forms = {image: name_forms(image.path.stem, IMAGE_AFFIXES) for image in images}
        self._mask_forms = {mask: name_forms(mask.path.stem, MASK_AFFIXES) for mask in masks}

    def open_images(self) -> list[PlacedFile]:
        return [image for image in self.images if image not in self.masks_of]

    def open_masks(self) -> list[PlacedFile]:
        return [mask for mask in self.masks if mask.path not in self.used]

    def by_names(self) -> "Matching":
        """Pairs equal names, then those without affixes, then whatever the case."""
        image_forms, mask_forms = self._image_forms, self._mask_forms

        def lowered(keys: Iterable[str]) -> list[str]:
            return [composed(key).lower() for key in keys]

        self._attempt(lambda i: [(i.split, i.key())], lambda m: [(m.split, m.key())])
        self._attempt(lambda i: [i.key()], lambda m: [m.key()])
        self._attempt(
            lambda i: [(i.split, i.key(form)) for form in image_forms[i]],
            lambda m: [(m.split, m.key(form)) for form in mask_forms[m]],
        )
        self._attempt(
            lambda i: lowered(i.key(form) for form in image_forms[i]),
            lambda m: lowered(m.key(form) for form in mask_forms[m]),
        )
        return self

    def by_classes(self, class_names: Sequence[str]) -> dict[Path, str]:
        """Pairs what is left, one mask per class: `p_cat.png`, `p/cat.png` or `cat/p.png`.

        Returns:
            Name of the class of each mask that was paired.
        """
        names = {_plain(name): name for name in class_names}
        by_key: dict[str, PlacedFile] = {}
        for image in self.open_images():
            by_key.setdefault(image.key().lower(), image)
        class_of: dict[Path, str] = {}
        taken: dict[PlacedFile, dict[str, PlacedFile]] = {}
        for mask in self.open_masks() if names and by_key else ():
            for key, word in _class_keys(mask):
                found = by_key.get(key.lower())
                name = names.get(_plain(word))
                if found is None or name is None or not _compatible(found, mask):
                    continue
                if taken.setdefault(found, {}).setdefault(name, mask) is mask:
                    class_of[mask.path] = name
                break
        for image, by_class in taken.items():
            self.masks_of[image] = list(by_class.values())
        self.used.update(class_of)
        return class_of

    def by_single_names(self) -> "Matching":
        """Pairs names without the folders that only one side has, then folders alone.

        Only where there is one mask for an image.
        """
        image_forms, mask_forms = self._image_forms, self._mask_forms
        shared = {group for image in self.images for group in image.groups} & {
            group for mask in self.masks for group in mask.groups
        }

        def reduced(file: PlacedFile, forms: Iterable[str]) -> list[tuple[str, ...]]:
            kept = tuple(group for group in file.groups if group in shared)
            return [(*kept, form) for form in forms]

        self._attempt(
            lambda i: [(i.split, *key) for key in reduced(i, image_forms[i])],
            lambda m: [(m.split, *key) for key in reduced(m, mask_forms[m])],
            only_single=True,
        )
        if len({mask.path.stem for mask in self.masks}) == 1 < len(self.masks):
            # A folder for each image: `a/image.png` and `a/mask.png`.
            self._attempt(
                lambda i: [(i.split, i.groups)],
                lambda m: [(m.split, m.groups)],
                only_single=True,
            )
        return self

    def _attempt(
        self,
        image_keys: Callable[[PlacedFile], Iterable[object]],
        mask_keys: Callable[[PlacedFile], Iterable[object]],
        only_single: bool = False,
    ) -> None:
        """Pairs images with the masks of the first of their keys that has some.

        A mask that two images claim belongs to neither.
        """
        index: dict[object, list[PlacedFile]] = {}
        for mask in self.open_masks():
            for key in mask_keys(mask):
                index.setdefault(key, []).append(mask)
        claims: Counter[Path] = Counter()
        found: dict[PlacedFile, list[PlacedFile]] = {}
        for image in self.open_images():
            for key in image_keys(image):
                candidates = [mask for mask in index.get(key, ()) if _compatible(image, mask)]
                if candidates and (not only_single or len(candidates) == 1):
                    found[image] = list(dict.fromkeys(candidates))
                    claims.update(mask.path for mask in found[image])
                    break
        for image, candidates in found.items():
            if all(claims[mask.path] == 1 for mask in candidates):
                self.masks_of[image] = candidates
                self.used.update(mask.path for mask in candidates)


def _compatible(image: PlacedFile, mask: PlacedFile) -> bool:
    return image.split is None or mask.split is None or image.split == mask.split


def _class_keys(mask: PlacedFile) -> list[tuple[str, str]]:
    """Returns the possible (key of the image, name of the class) of a mask of one class."""
    keys = []
    for form in name_forms(mask.path.stem, MASK_AFFIXES):
        keys.append(("/".join(mask.groups), form))  # p/cat.png
        for position, group in enumerate(mask.groups):  # cat/p.png, cat_masks/p.png
            rest = mask.groups[:position] + mask.groups[position + 1 :]
            keys += [("/".join((*rest, form)), word) for word in name_forms(group, MASK_AFFIXES)]
        for match in re.finditer(r"[_\-. ]+", form):
            before, after = form[: match.start()], form[match.end() :]
            keys += [(mask.key(before), after), (mask.key(after), before)]
    return keys


def _plain(name: str) -> str:
    return re.sub(r"[^\w]|_", "", name.lower())
