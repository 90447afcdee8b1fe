"""Which files of a folder are images and masks, in which split, and which belong together.

Words in the names of folders decide, in any case and order: `images/train`, `train/images`,
`train_images` and `TrainImages` are the same. What may be a split but is not understood is a
problem, never a part of a split.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import translate
from functools import cache
from pathlib import Path, PurePosixPath

from PIL import Image

from keras_fcn.data.bands import NPY
from keras_fcn.datasets.class_table import (
    by_preference,
    decoded,
    has_classes,
    is_table,
    may_be_table,
)

SPLITS = ("train", "val", "test")
SPLIT_WORDS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}
# Words of folders; of several that have masks the one with most images is taken, then the first.
IMAGE_WORDS = (
    *("jpegimages", "images", "imgs", "img", "image", "leftimg8bit", "photos", "pictures", "pics"),
    *("inputs", "input", "frames", "rgb"),
)
WEAK_IMAGE_WORDS = ("data",)  # also the folder around everything
MASK_WORDS = (
    *("segmentationclasspng", "segmentationclass", "segmentationclassraw", "segmentationclassaug"),
    *("masks", "mask", "labels", "label", "annotations", "annotation", "annots", "annot", "ann"),
    *("gtfine", "gt", "groundtruth", "segmentations", "segmentation", "segmaps", "segmap", "seg"),
    *("targets", "target", "lbl", "lbls", "gtcoarse"),
)
# Folders that tools write beside masks, and that are none.
_OTHER_WORDS = (
    *("segmentationobject", "segmentationobjectpng", "segmentationobjectvisualization"),
    *("segmentationclassvisualization", "segmentationclassnpy", "segmentationobjectnpy"),
    *("visualization", "visualizations", "vis", "overlay", "overlays", "preview", "previews"),
    *("thumbnails", "thumbs", "predictions", "runs"),
)
# Words in the names of folders that carry no meaning of their own.
_FILLERS = (
    "dir",
    "folder",
    "set",
    "split",
    "dataset",
    "prepped",
    "png",
    "jpg",
    "trainvaltest",
    "default",
)
# Words of folders that may be splits.
_SPLIT_LIKE = re.compile(
    r"(train|test|valid|eval|hold|unlab|infer|predict|calib|bench|unseen|hidden|reject).*|"
    r"trn|val|tst|dev|folds?|splits?|subsets?|parts?|sets?|private|public|final|submissions?|extra|"
    r"query|gallery|sanity|ood|backup|old|trash|bad"
)
_LEFTOVERS = re.compile(
    r"\..*|@eaDir|__MACOSX|__pycache__|\$RECYCLE\.BIN|#recycle|lost\+found|Thumbs\.db|desktop\.ini|"
    r"System Volume Information|~\$.*|Icon\r",
    re.IGNORECASE,
)
# What Pillow registers and is no picture of pixels, or a film.
_NO_PICTURES = {".pdf", ".ps", ".eps", ".wmf", ".emf", ".h5", ".hdf", ".grib", ".bufr", ".mpg"} | {
    ".mpeg",
    ".fli",
    ".flc",
    ".ico",
    ".icns",
    ".cur",
}
_UNSPLIT = ("trainval", "default", "all")  # lists of images that are to be split
_LIST_FOLDERS = ("", "imagesets/segmentation", "imagesets", "splits", "split", "lists", "list")

# What follows or precedes the name of an image in the name of its mask, and of the image itself.
_MASK_AFFIXES = (
    *("gtfine_labeltrainids", "gtfine_labelids", "labeltrainids", "labelids", "gtcoarse_labelids"),
    *("masks", "mask", "labels", "label", "lbl", "gt", "l", "seg", "segmentation", "annotation"),
    *("annot", "groundtruth", "ground_truth", "target", "semantic", "color_mask"),
)
_IMAGE_AFFIXES = ("leftimg8bit", "image", "img", "images", "sat", "rgb", "photo", "input", "orig")
# Files beside Cityscapes' masks that are none.
_NO_MASK = re.compile(r"_gt(fine|coarse)_(color|instanceids)$|_instanceids$", re.IGNORECASE)
_RANKED = ("labeltrainids", "labelids")  # the masks of Cityscapes, in order

# Id of an example -> its image and its masks: one, or one per class.
Pairs = dict[str, tuple[Path, tuple[Path, ...]]]


@dataclass(frozen=True)
class Layout:
    """The files of a folder, by what they are.

    Args:
        splits: Pairs of image and mask by split; "trainval" is to be split further.
        tables: Files that are tables of classes, the preferred one first.
        class_masks: Name of the class of each mask, where there is one mask per class.
        notes: What was taken, a sentence each.
        problems: What is wrong with the files, one sentence each that names the file.
    """

    splits: Mapping[str, Pairs]
    tables: list[Path]
    class_masks: Mapping[Path, str]
    notes: list[str]
    problems: list[str]


@dataclass(frozen=True)
class _File:
    """A picture and what the folders on its path say of it."""

    path: Path
    parts: tuple[str, ...]  # folders below the root
    role: str | None  # "image", "mask" or None
    word: str  # the folder name that gives the role
    split: str | None
    groups: tuple[str, ...]  # folders that say nothing

    def key(self, stem: str | None = None) -> str:
        return "/".join((*self.groups, self.path.stem if stem is None else stem))


@dataclass
class _Tree:
    """All files below a folder but those that tools left there."""

    pictures: list[Path] = field(default_factory=list)
    others: list[Path] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)


def find_layout(
    root: Path,
    class_names: Callable[[Path], Sequence[str]],
    images: str | None = None,
    masks: str | None = None,
    *,
    with_arrays: bool = False,
) -> Layout:
    """Finds the images and masks of a folder.

    Args:
        root: The folder.
        class_names: Returns the names of the classes in a table.
        images: Pattern of the images below the folder, such as `photos/**/*.jpg`.
        masks: Pattern of the masks.
        with_arrays: Whether images may be `.npy` arrays.

    Raises:
        ValueError: If there is no such folder, or nothing in it is understood.
    """
    if not root.is_dir():
        raise ValueError(f"{root}: there is no such folder.")
    tree = _walk(root, picture_suffixes() | {NPY} if with_arrays else picture_suffixes())
    search = _Search(root, tree, images, masks)
    return search.layout(class_names)


def parse_folder(name: str) -> tuple[str | None, str, str | None] | None:
    """Returns the role, its word and the split that a folder's name gives; `None` if none.

    >>> parse_folder("trainannot"), parse_folder("images_prepped_train"), parse_folder("city")
    (('mask', 'annot', 'train'), ('image', 'images', 'train'), None)
    """
    role, word, split = None, "", None
    plain = re.sub(r"[^a-z0-9]", "", name.lower())
    known = _role_of(plain)
    if known:
        return known, plain, None
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()
    spaced = re.sub(r"ground[-_ ]truth", "groundtruth", spaced)
    for token in re.findall(r"[a-z]+|\d+", re.sub(r"^\d+[-_. ]+", "", spaced)):
        for part in _unglued(token):
            if part in SPLIT_WORDS:
                if split is not None:
                    return None
                split = SPLIT_WORDS[part]
            elif _role_of(part):
                if role != "mask":  # `mask_images` are masks
                    role, word = _role_of(part), part
            elif part not in _FILLERS and not re.fullmatch(r"(19|20)\d\d", part):
                return None
    return (role, word, split) if role or split else None


def _may_be_split(name: str) -> bool:
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()
    return any(_SPLIT_LIKE.fullmatch(token) for token in re.findall(r"[a-z]+", spaced))


def is_leftover(name: str) -> bool:
    """Returns whether a file or folder is hidden, or was left there by a tool."""
    return _LEFTOVERS.fullmatch(name) is not None


@cache
def picture_suffixes() -> frozenset[str]:
    """Returns the extensions of images that can be read."""
    return frozenset(Image.registered_extensions()) - _NO_PICTURES


def _role_of(word: str) -> str | None:
    if word in IMAGE_WORDS or word in WEAK_IMAGE_WORDS:
        return "image"
    return "mask" if word in MASK_WORDS else None


def _unglued(token: str) -> list[str]:
    """Returns the words of one such as `trainannot` or `maskstrain`."""
    if token in SPLIT_WORDS or _role_of(token):
        return [token]
    for split in (*sorted(SPLIT_WORDS, key=len, reverse=True), *_FILLERS):
        for rest in (token.removeprefix(split), token.removesuffix(split)):
            if rest != token and _role_of(rest):
                return [split, rest]
    return [token]


def _walk(root: Path, suffixes: frozenset[str]) -> _Tree:
    tree = _Tree()

    def visit(folder: Path, above: frozenset[Path]) -> None:
        resolved = folder.resolve()
        if resolved in above:  # a link to a folder above
            return
        above = above | {resolved}
        for path in sorted(folder.iterdir()):
            if is_leftover(path.name):
                tree.skipped[path.name] += 1
            elif path.is_dir():
                visit(path, above)
            elif path.suffix.lower() in suffixes:
                tree.pictures.append(path)
            else:
                tree.others.append(path)

    visit(root, frozenset())
    return tree


class _Search:
    """The search for the layout of one folder."""

    def __init__(self, root: Path, tree: _Tree, images: str | None, masks: str | None) -> None:
        self.root = root
        self.tree = tree
        self.patterns = {
            role: pattern and pattern.removeprefix(f"{root}/").removeprefix("./")
            for role, pattern in (("image", images), ("mask", masks))
        }
        self.notes: list[str] = []
        self.problems: list[str] = []
        self.class_masks: dict[Path, str] = {}
        self.missing: set[_File] = set()
        self.base = self._base()

    def layout(self, class_names: Callable[[Path], Sequence[str]]) -> Layout:
        lists = self._lists()
        tables = self._tables()
        files = self._files()
        images = self._unique([file for file in files if file.role == "image"])
        masks = [file for file in files if file.role == "mask"]
        if not images or not masks:
            raise ValueError(self._not_understood(files))
        names: Sequence[str] = ()
        if tables:
            try:
                names = class_names(tables[0])
            except ValueError:
                names = ()  # reported where the table is read
        pairs = self._pairs(images, masks, names, lists is not None)
        splits = self._splits(images, pairs, lists)
        used = {path.parent for found in splits.values() for i, ms in found.values() for path in ms}
        unread = {f"Not read: {self._shown(folder)}." for folder in used}
        notes = [note for note in self.notes if note not in unread]
        return Layout(splits, tables, self.class_masks, notes, self.problems)

    # The parts

    def _base(self) -> Path:
        """Returns the folder in which the images and masks are: a lone folder is entered."""
        base = self.root
        if any(self.patterns.values()):
            return base
        while True:
            used = {
                path.relative_to(base).parts[0]
                for path in self.tree.pictures
                if path.is_relative_to(base)
            }
            if len(used) != 1:
                return base
            (name,) = used
            parsed = parse_folder(name)
            if not (base / name).is_dir() or (parsed and parsed[1] not in WEAK_IMAGE_WORDS):
                return base
            inner = [path for path in (base / name).iterdir() if path.is_dir()]
            if not any(parse_folder(path.name) for path in inner) and len(inner) != 1:
                return base
            base = base / name

    def _files(self) -> list[_File]:
        files = []
        for path in self.tree.pictures:
            file = self._placed(path)
            if file is not None:
                files.append(file)
        self._check_folders(files)
        return self._with_roles(files)

    def _placed(self, path: Path) -> _File | None:
        relative = path.relative_to(self.root if any(self.patterns.values()) else self.base)
        parts = relative.parts[:-1]
        role, word, split, groups = None, "", None, []
        literal: set[str] = set()
        for wanted, pattern in self.patterns.items():
            if pattern and _matches(relative, pattern):
                role, word = wanted, ""
                literal |= {part for part in PurePosixPath(pattern).parts if not _is_wild(part)}
        by_pattern = role is not None
        for part in parts:
            if re.sub(r"[^a-z]", "", part.lower()) in _OTHER_WORDS and not by_pattern:
                self._note_once(f"Not read: {self._shown(path.parent)}.")
                return None
            parsed = parse_folder(part)
            if parsed is None:
                if part not in literal:
                    groups.append(part)
                continue
            if parsed[2] is not None:
                if split is not None and split != parsed[2]:
                    groups.append(part)
                else:
                    split = parsed[2]
            if parsed[0] is not None and not by_pattern:
                weak = parsed[1] in WEAK_IMAGE_WORDS and role is not None
                if not weak:
                    role, word = parsed[0], parsed[1]
        if not by_pattern and role is not None and self.patterns[role]:
            return None  # the pattern alone says which files have this role
        if not by_pattern and all(self.patterns.values()):
            return None
        if path.suffix.lower() == NPY and role == "mask":
            return None  # only images are read from arrays
        return _File(path, parts, role, word, split, tuple(groups))

    def _check_folders(self, files: list[_File]) -> None:
        """Adds a problem for each folder that may be a split and is not understood."""
        if any(self.patterns.values()):
            return
        children: dict[tuple[str, ...], dict[str, list[_File]]] = {}
        for file in files:
            for depth, part in enumerate(file.parts):
                below = children.setdefault(file.parts[:depth], {})
                below.setdefault(part, []).append(file)
        for parent, below in children.items():
            parsed = {name: parse_folder(name) for name in below}
            has_split = any(place and place[2] for place in parsed.values())
            has_role = any(place and place[0] for place in parsed.values())
            above_role = not any(
                (place := parse_folder(part)) is not None and place[0] for part in parent
            )
            for name, place in parsed.items():
                if place is not None:
                    continue
                inner_roles = {file.role for file in below[name]} - {None}
                if has_split:
                    reason = "lies beside folders of splits and is no split that is known"
                elif above_role and inner_roles and (has_role or len(below) > 1):
                    reason = "contains images or masks of its own and is no split that is known"
                elif has_role and above_role:
                    self._note_once(f"Not read: {self._shown(self.base.joinpath(*parent, name))}.")
                    continue
                elif _may_be_split(name) and len(parent) + len(below) > 1:
                    reason = "may be a split, and is no split that is known"
                else:
                    continue
                self._problem(
                    f"{self.base.joinpath(*parent, name)}: this folder {reason} ("
                    f"{', '.join(SPLIT_WORDS)}). Rename or move it, or choose the files: "
                    '--images "images/*/*.png" --masks "masks/*/*.png", for example.'
                )
            same: dict[tuple[str | None, str | None], list[str]] = {}
            for name, place in parsed.items():
                if place is not None and place[2]:
                    same.setdefault((place[0], place[2]), []).append(name)
            for (_, split), found in same.items():
                if len(found) > 1:
                    self._problem(
                        f"{self.base.joinpath(*parent, found[0])}: this folder and {found[1]} are "
                        f"both of the split {split!r}. Rename or move one, or choose the files by "
                        "--images GLOB --masks GLOB."
                    )
            loose = [f for f in files if f.parts == parent and f.role is not None]
            if has_split and loose:
                self._problem(
                    f"{loose[0].path}: {len(loose)} files lie beside the folders of splits "
                    f"({', '.join(sorted(below))}), and it is not clear in which split they are. "
                    "Move them into one."
                )
        for file in files:
            twice = [part for part in file.groups if (place := parse_folder(part)) and place[2]]
            if twice:
                self._problem(
                    f"{self.base.joinpath(*file.parts)}: the folder {twice[0]!r} lies in one of "
                    f"the split {file.split!r}; it is not clear which is meant. Move the files, or "
                    "choose with --images GLOB --masks GLOB."
                )

    def _with_roles(self, files: list[_File]) -> list[_File]:
        """Gives a role to files whose folders have none."""
        open_files = [file for file in files if file.role is None]
        if not open_files:
            if not any(file.role == "mask" for file in files) and not any(self.patterns.values()):
                return self._side_by_side(files)
            return files
        known = [file for file in files if file.role is not None]
        has_images = any(file.role == "image" for file in known)
        has_masks = any(file.role == "mask" for file in known)
        if has_images and has_masks:
            splits = {file.split for file in known if file.role == "mask"}
            # `train/` beside `train_masks/` has images; a picture in a corner is no part.
            own = [
                file
                for file in open_files
                if file.split
                and file.split in splits
                and not any(f.split == file.split and f.role == "image" for f in known)
            ]
            for file in open_files:
                if file not in own:
                    is_loose = file.path.parent == self.root
                    place = file.path if is_loose else file.path.parent
                    self._note_once(f"Not read: {self._shown(place)}.")
            return known + [replace(file, role="image", word="") for file in own]
        if has_masks:
            return known + [replace(file, role="image", word="") for file in open_files]
        if has_images:
            return known + [replace(file, role="mask", word="") for file in open_files]
        return self._side_by_side(open_files)

    def _side_by_side(self, files: list[_File]) -> list[_File]:
        """Tells images from masks that lie in the same folders, by their names."""
        by_folder: dict[Path, list[_File]] = {}
        for file in files:
            by_folder.setdefault(file.path.parent, []).append(file)
        result = []
        for folder_files in by_folder.values():
            stems = {file.path.stem.lower() for file in folder_files}
            bare = {form for stem in stems for form in _forms(stem, _IMAGE_AFFIXES)}
            is_mask = {
                file.path: any(
                    form in bare and form != file.path.stem.lower()
                    for form in _forms(file.path.stem.lower(), _MASK_AFFIXES)
                )
                for file in folder_files
            }
            if not any(is_mask.values()):
                counts = Counter(file.path.stem for file in folder_files)
                lossy = {".jpg", ".jpeg", ".jpe", ".jfif"}
                if all(count == 2 for count in counts.values()):
                    # x.jpg and x.png: the JPEG is the image.
                    kinds = {file.path: file.path.suffix.lower() in lossy for file in folder_files}
                    if sum(kinds.values()) * 2 == len(kinds):
                        is_mask = {path: not kind for path, kind in kinds.items()}
            result += [
                replace(file, role="mask" if is_mask[file.path] else "image")
                for file in folder_files
            ]
        return result

    def _unique(self, images: list[_File]) -> list[_File]:
        """Returns the images, of each name one; names that repeat are problems."""
        words = Counter(image.word for image in images)
        if len(words) > 1:
            best = max(words, key=lambda word: (words[word], -_rank_of(word)))
            others = [word for word in words if word != best and word]
            overlap = {(i.split, i.key()) for i in images if i.word == best}
            dropped = [i for i in images if i.word != best and (i.split, i.key()) in overlap]
            if dropped:
                self._note_once(
                    f"Images in {best or 'their own folder'}, not in {', '.join(others)}; choose "
                    "with --images GLOB."
                )
                left = set(dropped)
                images = [i for i in images if i not in left]
        found: dict[tuple[str | None, str], _File] = {}
        for image in images:
            first = found.setdefault((image.split, image.key()), image)
            if first is not image:
                self._problem(
                    f"{image.path}: {first.path.name} has the same name apart from the extension."
                )
        return list(found.values())

    def _pairs(
        self,
        images: list[_File],
        masks: list[_File],
        class_names: Sequence[str],
        are_listed: bool,
    ) -> dict[_File, tuple[Path, ...]]:
        masks = [mask for mask in masks if not _NO_MASK.search(mask.path.stem)]
        masks = self._chosen_masks(images, masks)
        matched, used = _match(images, masks)
        open_images = [image for image in images if image not in matched]
        left = [mask for mask in masks if mask.path not in used]
        if open_images and left:
            split = _class_masks(open_images, left, class_names)
            for image, by_class in split.items():
                matched[image] = list(by_class.values())
                used |= {mask.path for mask in by_class.values()}
                self.class_masks |= {mask.path: name for name, mask in by_class.items()}
        result: dict[_File, tuple[Path, ...]] = {}
        missing = []
        for image in images:
            found = matched.get(image, [])
            if not found:
                missing.append(image)
            elif len(found) > 1 and found[0].path not in self.class_masks:
                names = " and ".join(str(mask.path.relative_to(self.root)) for mask in found[:2])
                self._problem(
                    f"{image.path}: it has several masks ({names}). Choose with --masks GLOB; one "
                    "mask per class is read if a table (classes.txt) names the classes as the "
                    "files do."
                )
            else:
                result[image] = tuple(mask.path for mask in found)
        self._check_missing(missing, images, masks, are_listed)
        if not are_listed:
            places = {image.path.parent for image in images}
            shown = _common(self.root, places)
            for mask in masks:
                if mask.path not in used:
                    self._problem(
                        f"{mask.path}: there is no image of that name in {shown}. If it is "
                        "no mask, move it, or choose the masks by --masks GLOB."
                    )
        return result

    def _check_missing(
        self,
        missing: list[_File],
        images: list[_File],
        masks: list[_File],
        are_listed: bool,
    ) -> None:
        if are_listed:
            self.missing = set(missing)
            return
        without = set(missing)
        splits_with_masks = {i.split for i in images} - {
            split
            for split in {i.split for i in images}
            if all(i in without for i in images if i.split == split)
        }
        places = _common(self.root, {mask.path.parent for mask in masks})
        skipped: Counter[str] = Counter()
        for image in missing:
            if image.split == "test" and "test" not in splits_with_masks:
                skipped["test"] += 1
                continue
            hint = ""
            if any(_starts_alike(mask.path.stem, image.path.stem) for mask in masks):
                hint = (
                    " Are there masks per class? They are read if a table (classes.txt) names "
                    "the classes as the files do."
                )
            place = next((m.path.parent for m in masks if m.split == image.split), Path(places))
            self._problem(
                f"{image.path}: there is no mask of that name in {place} (expected "
                f"{image.path.stem}.png, for example).{hint}"
            )
        if skipped:
            self.notes.append(
                f"The {skipped['test']} images of the split 'test' have no masks and are left out."
            )

    def _chosen_masks(self, images: list[_File], masks: list[_File]) -> list[_File]:
        """Returns the masks of one kind, where several folders or endings have some."""
        kinds: dict[tuple[str, str], list[_File]] = {}
        for mask in masks:
            ending = next((e for e in _RANKED if mask.path.stem.lower().endswith(e)), "")
            kinds.setdefault((mask.word, ending), []).append(mask)
        if len(kinds) < 2:
            return masks
        coverage = {kind: len(_match(images, found)[0]) for kind, found in kinds.items()}

        def rank(kind: tuple[str, str]) -> tuple[int, int, int]:
            ending = -_RANKED.index(kind[1]) if kind[1] else -len(_RANKED)
            return coverage[kind], ending, -_rank_of(kind[0])

        best = max(kinds, key=rank)
        chosen = list(kinds[best])
        covered = set(_match(images, chosen)[0])
        for kind in sorted(kinds, key=rank, reverse=True):
            if kind == best:
                continue
            more = set(_match(images, kinds[kind])[0])
            if more and not more & covered:  # masks of other images, such as another split's
                chosen += kinds[kind]
                covered |= more
            else:
                place = self._shown(kinds[kind][0].path.parent)
                what = f"*{kind[1]} in {place}" if kind[1] else place
                self._note_once(f"Masks not read: {what}; choose with --masks GLOB.")
        return chosen

    # Splits

    def _lists(self) -> dict[str, Path] | None:
        """Returns the files that list the names of a split, those in the usual places first."""
        stems = {path.stem for path in self.tree.pictures}
        ranked: dict[str, list[tuple[int, Path]]] = {}
        unknown: list[Path] = []
        for path in self.tree.others:
            if path.suffix.lower() not in (".txt", ".lst", ".csv") or is_table(path):
                continue
            word = re.sub(r"([-_ ]?(list|ids|files|names|set|split))+$", "", path.stem.lower())
            split = "trainval" if word in _UNSPLIT else SPLIT_WORDS.get(word)
            rank = self._rank_of_list(path)
            if split and (rank < len(_LIST_FOLDERS) or _is_list(path, stems)):
                ranked.setdefault(split, []).append((rank, path))
            elif _is_list(path, stems) and (rank < len(_LIST_FOLDERS) or _may_be_split(path.stem)):
                unknown.append(path)
        found: dict[str, Path] = {}
        for split, files in ranked.items():
            files.sort()
            found[split] = files[0][1]
            for rank, path in files[1:]:
                if rank == files[0][0]:
                    self._problem(
                        f"{path}: {found[split].name} is a list of the split {split!r} too. Remove "
                        "one of them."
                    )
                else:
                    self._note_once(f"Not read: {self._shown(path)}.")
        if "trainval" in found and ("train" in found or "val" in found):
            self._note_once(f"Not read: {self._shown(found.pop('trainval'))}.")
        for path in unknown:
            if found:
                self._note_once(f"Not read: {self._shown(path)}.")
            else:
                self._problem(
                    f"{path}: the file lists images, and its name is that of no known split "
                    f"({', '.join(f'{word}.txt' for word in SPLIT_WORDS)}). Rename or remove it."
                )
        return found or None

    def _rank_of_list(self, path: Path) -> int:
        """Returns the place of a list's folder among those where lists are expected."""
        ranks = []
        for base in {self.root, self.base}:
            if path.is_relative_to(base):
                folder = path.parent.relative_to(base).as_posix().lower()
                folder = "" if folder == "." else folder
                if folder in _LIST_FOLDERS:
                    ranks.append(_LIST_FOLDERS.index(folder))
        return min(ranks, default=len(_LIST_FOLDERS))

    def _check_other_lists(self) -> None:
        """Adds a problem for a file that may say the split, where nothing else does."""
        stems = {path.stem for path in self.tree.pictures}
        for path in self.tree.others:
            if (
                path.suffix.lower() not in (".json", ".csv", ".tsv", ".yaml", ".yml")
                or not _may_be_split(path.stem)
                or path.stat().st_size > 1 << 24
            ):
                continue
            words = set(re.findall(r"[^\s\"',;/\\\[\]{}:]+", path.read_text("utf-8", "replace")))
            named = {PurePosixPath(word).stem for word in words} & stems
            if len(named) >= 2:
                self._problem(
                    f"{path}: the file names {len(named)} images and may say in which split they "
                    "are; it is not read. Write their names into train.txt and val.txt, or move "
                    "the file away to split at random."
                )

    def _splits(
        self,
        images: list[_File],
        pairs: Mapping[_File, tuple[Path, ...]],
        lists: Mapping[str, Path] | None,
    ) -> dict[str, Pairs]:
        if lists:
            return self._listed_splits(images, pairs, lists)
        names = {image.split for image in images if image in pairs}
        if names == {None}:
            self._check_other_lists()
        if names and None not in names:
            splits: dict[str, Pairs] = {
                split: {
                    image.key(): (image.path, pairs[image])
                    for image in images
                    if image.split == split and image in pairs
                }
                for split in SPLITS
                if split in {image.split for image in images}
            }
            return {split: found for split, found in splits.items() if found}
        return {"trainval": {i.key(): (i.path, pairs[i]) for i in images if i in pairs}}

    def _listed_splits(
        self,
        images: list[_File],
        pairs: Mapping[_File, tuple[Path, ...]],
        lists: Mapping[str, Path],
    ) -> dict[str, Pairs]:
        by_name: dict[str, list[_File]] = {}
        for image in images:
            relative = image.path.relative_to(self.base)
            parts = PurePosixPath(_composed(relative.with_suffix("").as_posix())).parts
            for start in range(len(parts)):
                by_name.setdefault("/".join(parts[start:]), []).append(image)
            if image.key() not in ("/".join(parts[start:]) for start in range(len(parts))):
                by_name.setdefault(image.key(), []).append(image)
        first: dict[_File, tuple[str, str]] = {}
        splits: dict[str, Pairs] = {}
        for split, path in lists.items():
            found: Pairs = {}
            for number, line in enumerate(_read_lines(path), 1):
                entry = _composed(line.strip().replace("\\", "/"))
                if not entry:
                    continue
                place = f"{path}, line {number}"
                listed = _listed_image(entry, by_name)
                if listed is None and (entry[0] == "#" or (number == 1 and path.suffix == ".csv")):
                    continue  # a comment, a heading
                if listed is None:
                    self._problem(f"{place}: there is no image {entry!r}.")
                elif listed in first and first[listed][0] == split:
                    self._problem(f"{place}: {entry!r} is listed twice.")
                elif listed in first:
                    self._problem(
                        f"{place}: {entry!r} is also in the list of the split "
                        f"{first[listed][0]!r} ({first[listed][1]})."
                    )
                elif listed.split and listed.split != split:
                    self._problem(
                        f"{place}: {entry!r} lies in a folder of the split {listed.split!r}."
                    )
                else:
                    first[listed] = split, f"{path.name}, line {number}"
                    if listed in self.missing:
                        self._problem(
                            f"{listed.path}: there is no mask of that name (expected "
                            f"{listed.path.stem}.png, for example)."
                        )
                    elif listed in pairs:
                        found[listed.key()] = listed.path, pairs[listed]
            splits[split] = found
        left = len(images) - len(first)
        if left > 0 and not self.problems:
            self.notes.append(f"{left} images are in no list and are left out.")
        return {split: splits[split] for split in (*SPLITS, "trainval") if split in splits}

    # Tables, and what to say

    def _tables(self) -> list[Path]:
        """Returns the tables of classes, those nearest to the root first."""
        tables = [path for path in self.tree.others if is_table(path)]
        depths: dict[int, list[Path]] = {}
        for path in tables:
            if _is_yolo_label(path) or not has_classes(path):
                continue
            depths.setdefault(len(path.relative_to(self.root).parts), []).append(path)
        result: list[Path] = []
        for depth in sorted(depths):
            result += by_preference(depths[depth])
        for path in self.tree.others:
            if path not in tables and path.parent == self.root and may_be_table(path):
                self._note_once(
                    f"Not used: {self._shown(path)}. If it is the table of classes, call it "
                    f"classes{path.suffix.lower()}."
                )
        return result

    def _not_understood(self, files: list[_File]) -> str:
        problem = f" {self.problems[0]}" if self.problems else ""
        pointer = self._importer()
        if pointer:
            return pointer
        num_images = sum(file.role != "mask" for file in files)
        arrays = [
            path for path in self.tree.others if path.suffix.lower() in (".npy", ".npz", ".mat")
        ]
        if any(path.suffix.lower() == NPY for path in arrays) and not num_images:
            return (
                f"{arrays[0]}: an array does not say what its bands are. If it is an image, say "
                "how many bands there are by --channels N; masks are not read from arrays."
            )
        if arrays and not any(file.role == "mask" for file in files):
            return (
                f"{arrays[0]}: label maps in {arrays[0].suffix} files are not read, and there are "
                "no masks that are pictures. Save the labels as gray or palette PNG."
            )
        if not any(file.role == "mask" for file in files) and num_images:
            folders = sorted({self._shown(file.path.parent) for file in files})
            return (
                f"{self.root}: there are {num_images:,} images (in {', '.join(folders[:4])}), and "
                "no masks that are recognized. Expected the folders images/ and masks/, or "
                "train/images/, train/masks/, val/images/ and val/masks/, or names such as "
                "x.jpg and x_mask.png; docs/own_data.md shows all layouts. Others are chosen by "
                f'--images "GLOB" --masks "GLOB". Found: {_listing(self.root)}.{problem}'
            )
        if files:
            return (
                f"{files[0].path}: there is no image of that name, nor are other images recognized "
                f'in {self.root}. Choose them by --images "GLOB". Found: {_listing(self.root)}.'
                f"{problem}"
            )
        given = [pattern for pattern in self.patterns.values() if pattern]
        if given:
            return (
                f"{self.root}: no images match {' and '.join(given)}. Found: {_listing(self.root)}."
            )
        return (
            f"{self.root}: expected the folders images/ and masks/, or train/images/, "
            "train/masks/, val/images/ and val/masks/; there are no images in it. Found: "
            f"{_listing(self.root)}."
        )

    def _importer(self) -> str | None:
        """Returns which import reads the labels, if they are no masks."""
        for path in self.tree.others:
            tool = _tool_of(path)
            if tool:
                what = {
                    "yolo": "polygons of YOLO",
                    "coco": "polygons of COCO",
                    "labelme": "polygons of labelme",
                    "labelstudio": "an export of Label Studio",
                    "cvat": "an export of CVAT",
                }[tool]
                return (
                    f"{path}: the labels are {what}, not masks. Make masks of them: keras-fcn "
                    f"datasets import --from {tool} {self.root} --output FOLDER"
                )
        return None

    def _problem(self, text: str) -> None:
        if text not in self.problems:
            self.problems.append(text)

    def _note_once(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)

    def _shown(self, path: Path) -> str:
        relative = path.relative_to(self.root).as_posix()
        return relative + "/" if path.is_dir() and relative != "." else relative


def _matches(relative: Path, pattern: str) -> bool:
    if "**" in pattern:
        pieces = [translate(piece)[4:-3] if piece != "**" else None for piece in pattern.split("/")]
        text = "".join(
            "(?:[^/]+/)*" if piece is None else piece.replace(".*", "[^/]*") + "/"
            for piece in pieces
        )
        return re.fullmatch(text.removesuffix("/"), relative.as_posix()) is not None
    return len(PurePosixPath(pattern).parts) == len(relative.parts) and relative.match(pattern)


def _is_wild(part: str) -> bool:
    return any(sign in part for sign in "*?[")


def _rank_of(word: str) -> int:
    words = (*IMAGE_WORDS, *WEAK_IMAGE_WORDS, *MASK_WORDS, "")
    return words.index(word)


def _forms(stem: str, affixes: Sequence[str]) -> list[str]:
    """Returns a name as it is, then without what its role adds to it.

    >>> _forms("x_mask", _MASK_AFFIXES), _forms("x.jpg", _MASK_AFFIXES)
    (['x_mask', 'x'], ['x.jpg', 'x'])
    """
    forms = [stem]
    inner = PurePosixPath(stem)
    if inner.suffix.lower() in picture_suffixes():
        forms.append(inner.stem)
    for form in list(forms):
        lowered = form.lower()
        for affix in affixes:
            for separator in "_-. ":
                if lowered.endswith(separator + affix) and len(form) > len(affix) + 1:
                    forms.append(form[: -len(affix) - 1])
                if lowered.startswith(affix + separator) and len(form) > len(affix) + 1:
                    forms.append(form[len(affix) + 1 :])
    for form in forms[1:]:
        inner = PurePosixPath(form)
        if inner.suffix.lower() in picture_suffixes():
            forms.append(inner.stem)
    return list(dict.fromkeys(forms))


def _match(
    images: Sequence[_File], masks: Sequence[_File]
) -> tuple[dict[_File, list[_File]], set[Path]]:
    """Pairs images with masks: by equal names, then without affixes, then whatever the case."""
    matched: dict[_File, list[_File]] = {}
    used: set[Path] = set()
    image_forms = {image: _forms(image.path.stem, _IMAGE_AFFIXES) for image in images}
    mask_forms = {mask: _forms(mask.path.stem, _MASK_AFFIXES) for mask in masks}

    def attempt(
        image_keys: Callable[[_File], Iterable[object]],
        mask_keys: Callable[[_File], Iterable[object]],
        only_single: bool = False,
    ) -> None:
        index: dict[object, list[_File]] = {}
        for mask in masks:
            if mask.path not in used:
                for key in mask_keys(mask):
                    index.setdefault(key, []).append(mask)
        claims: dict[Path, list[_File]] = {}
        found: dict[_File, list[_File]] = {}
        for image in images:
            if image in matched:
                continue
            for key in image_keys(image):
                candidates = [m for m in index.get(key, ()) if _compatible(image, m)]
                if candidates and (not only_single or len(candidates) == 1):
                    found[image] = list(dict.fromkeys(candidates))
                    for mask in found[image]:
                        claims.setdefault(mask.path, []).append(image)
                    break
        for image, candidates in found.items():
            if all(len(claims[mask.path]) == 1 for mask in candidates):
                matched[image] = candidates
                used.update(mask.path for mask in candidates)

    def lowered(keys: Iterable[str]) -> list[str]:
        return [_composed(key).lower() for key in keys]

    attempt(lambda i: [(i.split, i.key())], lambda m: [(m.split, m.key())])
    attempt(lambda i: [i.key()], lambda m: [m.key()])
    attempt(
        lambda i: [(i.split, i.key(form)) for form in image_forms[i]],
        lambda m: [(m.split, m.key(form)) for form in mask_forms[m]],
    )
    attempt(
        lambda i: lowered(i.key(form) for form in image_forms[i]),
        lambda m: lowered(m.key(form) for form in mask_forms[m]),
    )
    # Without the folders that only one side has; then the names alone, if each is there once.
    shared = {group for image in images for group in image.groups} & {
        group for mask in masks for group in mask.groups
    }

    def reduced(file: _File, forms: Iterable[str]) -> list[tuple[str, ...]]:
        kept = tuple(group for group in file.groups if group in shared)
        return [(*kept, form) for form in forms]

    attempt(
        lambda i: [(i.split, *key) for key in reduced(i, image_forms[i])],
        lambda m: [(m.split, *key) for key in reduced(m, mask_forms[m])],
        only_single=True,
    )
    names = Counter(image.path.stem for image in images)
    attempt(
        lambda i: image_forms[i] if names[i.path.stem] == 1 else (),
        lambda m: mask_forms[m],
        only_single=True,
    )
    return matched, used


def _composed(name: str) -> str:
    """Returns a name with composed letters: macOS stores an umlaut as two characters."""
    return unicodedata.normalize("NFC", name)


def _compatible(image: _File, mask: _File) -> bool:
    return image.split is None or mask.split is None or image.split == mask.split


def _class_masks(
    images: Sequence[_File], masks: Sequence[_File], class_names: Sequence[str]
) -> dict[_File, dict[str, _File]]:
    """Returns the masks of each class: `p_cat.png`, `p/cat.png` or `cat/p.png`."""
    names = {_plain(name): name for name in class_names}
    if not names:
        return {}
    by_key: dict[str, _File] = {}
    for image in images:
        by_key.setdefault("/".join((*image.groups, image.path.stem)).lower(), image)
    found: dict[_File, dict[str, _File]] = {}
    for mask in masks:
        for key, word in _class_keys(mask):
            image_file = by_key.get(key.lower())
            name = names.get(_plain(word))
            if image_file is None or name is None or not _compatible(image_file, mask):
                continue
            found.setdefault(image_file, {}).setdefault(name, mask)
            break
    return found


def _class_keys(mask: _File) -> list[tuple[str, str]]:
    """Returns the possible (key of the image, name of the class) of a mask of one class."""
    stem = mask.path.stem
    keys = []
    for form in _forms(stem, _MASK_AFFIXES):
        keys.append(("/".join(mask.groups), form))  # p/cat.png
        for position, group in enumerate(mask.groups):  # cat/p.png
            rest = mask.groups[:position] + mask.groups[position + 1 :]
            keys += [("/".join((*rest, form)), group)]
        for match in re.finditer(r"[_\-. ]+", form):
            before, after = form[: match.start()], form[match.end() :]
            keys += [(mask.key(before), after), (mask.key(after), before)]
    return keys


def _plain(name: str) -> str:
    return re.sub(r"[^\w]|_", "", name.lower())


def _starts_alike(mask: str, image: str) -> bool:
    return mask.lower().startswith(image.lower()) and mask.lower() != image.lower()


def _read_lines(path: Path) -> list[str]:
    return decoded(path).splitlines()


def _listed_image(entry: str, by_name: Mapping[str, list[_File]]) -> _File | None:
    """Returns the image that a line names: by its path or name, with or without extension."""
    words = [entry, *([] if " " not in entry and "," not in entry else re.split(r"[\s,]+", entry))]
    for word in words[:2]:
        parts = [part for part in word.split("/") if part not in ("", ".")]
        for start in range(len(parts)):
            name = "/".join(parts[start:])
            stripped = name
            if PurePosixPath(name).suffix.lower() in picture_suffixes():
                stripped = PurePosixPath(name).with_suffix("").as_posix()
            for key in (name, stripped):
                found = by_name.get(key, [])
                if len(found) == 1 or (found and len({f.path for f in found}) == 1):
                    return found[0]
    return None


def _is_list(path: Path, stems: set[str]) -> bool:
    """Returns whether most lines of a file are names of pictures."""
    lines = [line.strip() for line in _read_lines(path)[:200] if line.strip()]
    named = [line for line in lines if PurePosixPath(re.split(r"[\s,]", line)[0]).stem in stems]
    return bool(lines) and len(named) * 2 > len(lines)


def _is_yolo_label(path: Path) -> bool:
    if path.suffix.lower() != ".txt":
        return False
    with path.open("rb") as file:
        first = file.read(4096).split(b"\n")[0]
    return re.fullmatch(rb"\s*\d+(\s+[01]?\.\d+){4,}\s*", first) is not None


def _tool_of(path: Path) -> str | None:
    """Returns the tool whose labels a file contains, if they are polygons."""
    suffix = path.suffix.lower()
    if suffix == ".txt":
        return "yolo" if _is_yolo_label(path) else None
    if suffix not in (".json", ".xml"):
        return None
    with path.open("rb") as file:
        head = file.read(1 << 16)
    if suffix == ".xml":
        return "cvat" if b"<annotations>" in head else None
    if b'"shapes"' in head:
        return "labelme"
    if b'"completions"' in head or b'"original_width"' in head or b'"from_name"' in head:
        return "labelstudio"
    if re.search(rb'"(annotations|images|categories)"\s*:\s*\[', head):
        return "coco"
    return None


def _common(root: Path, folders: Iterable[Path]) -> str:
    """Returns the folder that contains all of some."""
    found = list(folders)
    if not found:
        return str(root)
    common = found[0]
    while not all(path.is_relative_to(common) for path in found):
        common = common.parent
    return str(common)


def _listing(root: Path) -> str:
    names = sorted(
        f"{path.name}/" if path.is_dir() else path.name
        for path in root.iterdir()
        if not is_leftover(path.name)
    )
    return ", ".join(names[:6]) + (", ..." if len(names) > 6 else "") if names else "nothing"
