"""Which files of a folder are images and masks, in which split, and which belong together.

Words in the names of folders decide, in any case and order: `images/train`, `train/images`,
`train_images` and `TrainImages` are the same. What may be a split but is not understood is a
problem, never a part of a split.
"""

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence, Sized
from dataclasses import dataclass, field, replace
from fnmatch import translate
from pathlib import Path, PurePosixPath

from keras_fcn.data.bands import NPY
from keras_fcn.datasets.class_table import by_preference, has_classes, is_table, may_be_table
from keras_fcn.datasets.folder_names import (
    IMAGE_AFFIXES,
    MASK_AFFIXES,
    NO_MASK,
    OTHER_WORDS,
    RANKED_ENDINGS,
    SPLIT_WORDS,
    SPLITS,
    WEAK_IMAGE_WORDS,
    is_leftover,
    may_be_split,
    name_forms,
    parse_folder,
    picture_suffixes,
    rank_of_word,
    role_of,
)
from keras_fcn.datasets.labelling_tools import TOOLS, is_yolo_label, tool_of
from keras_fcn.datasets.pairing import Matching, PlacedFile
from keras_fcn.datasets.split_lists import (
    ListReader,
    SplitLists,
    find_lists,
    listed_splits,
    other_split_files,
    unknown_list_problem,
)

_CHOOSE = '--images "*/images/*" --masks "*/masks/*", for example'
_CHOOSE_SPLITS = '--images "images/{train,val}/*" --masks "masks/{train,val}/*", for example'
_LOSSY_SUFFIXES = {".jpg", ".jpeg", ".jpe", ".jfif"}

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
        self.missing: set[PlacedFile] = set()
        self.base = self._base()

    def layout(self, class_names: Callable[[Path], Sequence[str]]) -> Layout:
        lists = find_lists(self.tree.others, self.tree.pictures, {self.root, self.base})
        for problem in lists.problems:
            self._problem(problem)
        self._note_unread(lists.unread)
        tables = self._tables({*lists.unread, *lists.unknown})
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
        pairs = self._pairs(images, masks, names, bool(lists.files))
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

    def _files(self) -> list[PlacedFile]:
        files = []
        for path in self.tree.pictures:
            file = self._placed(path)
            if file is not None:
                files.append(file)
        self._check_folders(files)
        return self._with_roles(files)

    def _placed(self, path: Path) -> PlacedFile | None:
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
            if re.sub(r"[^a-z]", "", part.lower()) in OTHER_WORDS and not by_pattern:
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
        return PlacedFile(path, parts, role, word, split, tuple(groups))

    def _check_folders(self, files: list[PlacedFile]) -> None:
        """Adds a problem for each folder that may be a split and is not understood."""
        if any(self.patterns.values()):
            return
        children: dict[tuple[str, ...], dict[str, list[PlacedFile]]] = {}
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
                elif may_be_split(name) and len(parent) + len(below) > 1:
                    reason = "may be a split, and is no split that is known"
                else:
                    continue
                self._problem(
                    f"{self.base.joinpath(*parent, name)}: this folder {reason} ("
                    f"{', '.join(SPLIT_WORDS)}). Rename or move it, or choose the files: "
                    f"{_CHOOSE_SPLITS if has_split else _CHOOSE}."
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
                    f"{loose[0].path}: {count(loose, 'file')} beside the folders of splits "
                    f"({', '.join(sorted(below))}): it is not clear in which split. Move them into "
                    "one."
                )
        for file in files:
            twice = [part for part in file.groups if (place := parse_folder(part)) and place[2]]
            if twice:
                self._problem(
                    f"{self.base.joinpath(*file.parts)}: the folder {twice[0]!r} lies in one of "
                    f"the split {file.split!r}; it is not clear which is meant. Move the files, or "
                    "choose with --images GLOB --masks GLOB."
                )

    def _with_roles(self, files: list[PlacedFile]) -> list[PlacedFile]:
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

    def _side_by_side(self, files: list[PlacedFile]) -> list[PlacedFile]:
        """Tells images from masks that lie in the same folders, by their names."""
        by_folder: dict[Path, list[PlacedFile]] = {}
        for file in files:
            by_folder.setdefault(file.path.parent, []).append(file)
        result = []
        for folder_files in by_folder.values():
            stems = {file.path.stem.lower() for file in folder_files}
            bare = {form for stem in stems for form in name_forms(stem, IMAGE_AFFIXES)}
            is_mask = {
                file.path: any(
                    form in bare and form != file.path.stem.lower()
                    for form in name_forms(file.path.stem.lower(), MASK_AFFIXES)
                )
                for file in folder_files
            }
            if {role_of(stem) for stem in stems} >= {"image", "mask"}:  # image.png and mask.png
                is_mask |= {f.path: role_of(f.path.stem.lower()) == "mask" for f in folder_files}
            if not any(is_mask.values()):
                # x.jpg and x.png: the JPEG is the image.
                kinds: dict[str, list[bool]] = {}
                for file in folder_files:
                    is_lossy = file.path.suffix.lower() in _LOSSY_SUFFIXES
                    kinds.setdefault(file.path.stem, []).append(is_lossy)
                pairs = sum(sorted(found) == [False, True] for found in kinds.values())
                if pairs * 2 > len(kinds):
                    is_mask = {
                        file.path: file.path.suffix.lower() not in _LOSSY_SUFFIXES
                        for file in folder_files
                    }
            result += [
                replace(file, role="mask" if is_mask[file.path] else "image")
                for file in folder_files
            ]
        return result

    def _unique(self, images: list[PlacedFile]) -> list[PlacedFile]:
        """Returns the images, of each name one; names that repeat are problems."""
        words = Counter(image.word for image in images)
        if len(words) > 1:
            best = max(words, key=lambda word: (words[word], -rank_of_word(word)))
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
        found: dict[tuple[str | None, str], PlacedFile] = {}
        for image in images:
            first = found.setdefault((image.split, image.key()), image)
            if first is not image:
                self._problem(
                    f"{image.path}: {first.path.name} has the same name apart from the extension."
                )
        return list(found.values())

    def _pairs(
        self,
        images: list[PlacedFile],
        masks: list[PlacedFile],
        class_names: Sequence[str],
        are_listed: bool,
    ) -> dict[PlacedFile, tuple[Path, ...]]:
        masks = [mask for mask in masks if not NO_MASK.search(mask.path.stem)]
        masks = self._chosen_masks(images, masks)
        matching = Matching(images, masks).by_names()
        self.class_masks = matching.by_classes(class_names)
        matched, used = matching.by_single_names().masks_of, matching.used
        result: dict[PlacedFile, tuple[Path, ...]] = {}
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
        missing: list[PlacedFile],
        images: list[PlacedFile],
        masks: list[PlacedFile],
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
        skipped = []
        for image in missing:
            if image.split == "test" and "test" not in splits_with_masks:
                skipped.append(image)
                continue
            hint = ""
            if self.class_masks:
                hint = (
                    " Others have a mask per class; an image without any object needs one that is "
                    "empty."
                )
            elif any(_starts_alike(mask.path.stem, image.path.stem) for mask in masks):
                hint = (
                    " Are there masks per class? They are read if a table (classes.txt) names "
                    "the classes as the files do."
                )
            place = next((m.path.parent for m in masks if m.split == image.split), Path(places))
            self._problem(_missing_mask(image, f" in {place}") + hint)
        if skipped:
            self.notes.append(
                f"{count(skipped, 'image')} of the split 'test' without masks: left out."
            )

    def _chosen_masks(self, images: list[PlacedFile], masks: list[PlacedFile]) -> list[PlacedFile]:
        """Returns the masks of one kind, where several folders or endings have some."""
        kinds: dict[tuple[str, str], list[PlacedFile]] = {}
        for mask in masks:
            ending = next((e for e in RANKED_ENDINGS if mask.path.stem.lower().endswith(e)), "")
            kinds.setdefault((mask.word, ending), []).append(mask)
        if len(kinds) < 2:
            return masks
        covered_by = {kind: _covered(images, found) for kind, found in kinds.items()}

        def rank(kind: tuple[str, str]) -> tuple[int, int, int]:
            ending = -RANKED_ENDINGS.index(kind[1]) if kind[1] else -len(RANKED_ENDINGS)
            return len(covered_by[kind]), ending, -rank_of_word(kind[0])

        best = max(kinds, key=rank)
        chosen = list(kinds[best])
        covered = set(covered_by[best])
        for kind in sorted(kinds, key=rank, reverse=True):
            if kind == best:
                continue
            more = covered_by[kind]
            if more and not more & covered:  # masks of other images, such as another split's
                chosen += kinds[kind]
                covered |= more
            else:
                place = self._shown(kinds[kind][0].path.parent)
                what = f"*{kind[1]} in {place}" if kind[1] else place
                self._note_once(f"Masks not read: {what}; choose with --masks GLOB.")
        return chosen

    # Splits

    def _splits(
        self,
        images: list[PlacedFile],
        pairs: Mapping[PlacedFile, tuple[Path, ...]],
        lists: SplitLists,
    ) -> dict[str, Pairs]:
        if lists.files:
            splits = self._listed_splits(images, pairs, lists.files)
        else:
            splits = self._splits_of_folders([i for i in images if i in pairs], lists)
        return {
            split: {image.key(): (image.path, pairs[image]) for image in splits[split]}
            for split in (*SPLITS, "trainval")
            if split in splits
        }

    def _listed_splits(
        self,
        images: list[PlacedFile],
        pairs: Mapping[PlacedFile, tuple[Path, ...]],
        lists: Mapping[str, Path],
    ) -> dict[str, list[PlacedFile]]:
        problems: list[str] = []
        reader = ListReader(images, self.base)
        listed = listed_splits(lists, reader, problems)
        problems += reader.other_masks(pairs, self.tree.pictures)
        left = set(images).difference(*listed.values())
        for found in listed.values():
            problems += [_missing_mask(image) for image in found if image in self.missing]
        if left and not problems and not self.problems:
            self.notes.append(f"{count(left, 'image')} in no list: left out.")
        for problem in problems:
            self._problem(problem)
        return {split: [i for i in found if i in pairs] for split, found in listed.items()}

    def _splits_of_folders(
        self, images: list[PlacedFile], lists: SplitLists
    ) -> dict[str, list[PlacedFile]]:
        found: dict[str | None, list[PlacedFile]] = {}
        for image in images:
            found.setdefault(image.split, []).append(image)
        loose = found.get(None, [])
        if not loose:
            for path in lists.unknown:
                self._note_once(f"Not read: {self._shown(path)}.")
            return {split: files for split, files in found.items() if split}
        if len(found) > 1 and not self.problems:
            split, (other, *_) = next(item for item in found.items() if item[0])
            self._problem(
                f"{loose[0].path}: this image"
                f"{f' (as {len(loose) - 1:,} more)' * (len(loose) > 1)} is in no folder of a "
                f"split; those in {self._shown(other.path.parent)} are of the split {split!r}. "
                f"Move it into one, or choose the files: {_CHOOSE_SPLITS}."
            )
        for path in lists.unknown:
            problem = unknown_list_problem(path, self.tree.pictures)
            if problem:
                self._problem(problem)
            else:
                self._note_once(f"Not read: {self._shown(path)}.")
        known = {*lists.unknown, *lists.unread}
        for problem in other_split_files(
            [path for path in self.tree.others if path not in known], self.tree.pictures
        ):
            self._problem(problem)
        return {"trainval": images}

    # Tables, and what to say

    def _tables(self, lists: Collection[Path]) -> list[Path]:
        """Returns the tables of classes, those nearest to the root first."""
        tables = [path for path in self.tree.others if is_table(path)]
        depths: dict[int, list[Path]] = {}
        for path in tables:
            if is_yolo_label(path) or not has_classes(path):
                continue
            depths.setdefault(len(path.relative_to(self.root).parts), []).append(path)
        result: list[Path] = []
        for depth in sorted(depths):
            result += by_preference(depths[depth])
        for path in self.tree.others:
            is_known = path in tables or path in lists
            if not is_known and path.parent in (self.root, self.base) and may_be_table(path):
                self._note_once(
                    f"Not used: {self._shown(path)}. If it is the table of classes, call it "
                    f"classes{path.suffix.lower()}."
                )
        return result

    def _not_understood(self, files: list[PlacedFile]) -> str:
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
            tool = tool_of(path)
            if tool:
                return (
                    f"{path}: the labels are {TOOLS[tool]}, not masks. Make masks of them: "
                    f"keras-fcn datasets import --from {tool} {self.root} --output FOLDER"
                )
        return None

    def _note_unread(self, paths: Sequence[Path]) -> None:
        for path in paths[:3]:
            self._note_once(f"Not read: {self._shown(path)}.")
        if len(paths) > 3:
            self._note_once(f"Not read: {len(paths) - 3} more lists.")

    def _problem(self, text: str) -> None:
        if text not in self.problems:
            self.problems.append(text)

    def _note_once(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)

    def _shown(self, path: Path) -> str:
        relative = path.relative_to(self.root).as_posix()
        return relative + "/" if path.is_dir() and relative != "." else relative


def count(items: Sized, name: str) -> str:
    """Returns a number of things, such as `1 image`, `2 images`."""
    return f"{len(items):,} {name}{'s' * (len(items) != 1)}"


def _missing_mask(image: PlacedFile, where: str = "") -> str:
    return (
        f"{image.path}: there is no mask of that name{where} (expected {image.path.stem}.png, for "
        "example)."
    )


def _covered(images: Sequence[PlacedFile], masks: Sequence[PlacedFile]) -> set[PlacedFile]:
    """Returns the images that have one of these masks."""
    return set(Matching(images, masks).by_names().by_single_names().masks_of)


def _matches(relative: Path, pattern: str) -> bool:
    """Returns whether a pattern of `*`, `?`, `**` and `{a,b}` matches a path."""
    braces = re.search(r"\{([^{}]*)\}", pattern)
    if braces:
        return any(
            _matches(relative, pattern[: braces.start()] + word + pattern[braces.end() :])
            for word in braces[1].split(",")
        )
    if "**" in pattern:
        pieces = [translate(piece)[4:-3] if piece != "**" else None for piece in pattern.split("/")]
        text = "".join(
            "(?:[^/]+/)*" if piece is None else piece.replace(".*", "[^/]*") + "/"
            for piece in pieces
        )
        return re.fullmatch(text.removesuffix("/"), relative.as_posix()) is not None
    return len(PurePosixPath(pattern).parts) == len(relative.parts) and relative.match(pattern)


def _is_wild(part: str) -> bool:
    return any(sign in part for sign in "*?[{")


def _starts_alike(mask: str, image: str) -> bool:
    return mask.lower().startswith(image.lower()) and mask.lower() != image.lower()


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
