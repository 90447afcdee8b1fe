"""What the names of folders and files say: images or masks, which split, which belong together."""

import re
import unicodedata
from collections.abc import Sequence
from fnmatch import translate
from functools import cache
from pathlib import Path, PurePosixPath

from PIL import Image

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
OTHER_WORDS = (
    *("segmentationobject", "segmentationobjectpng", "segmentationobjectvisualization"),
    *("segmentationclassvisualization", "segmentationclassnpy", "segmentationobjectnpy"),
    *("visualization", "visualizations", "vis", "overlay", "overlays", "preview", "previews"),
    *("thumbnails", "thumbs", "predictions", "runs"),
)
# Words in the names of folders that carry no meaning of their own.
_FILLERS = (
    *("dir", "folder", "set", "split", "dataset", "prepped", "png", "jpg"),
    *("trainvaltest", "default"),
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
_NO_PICTURES = {
    *(".pdf", ".ps", ".eps", ".wmf", ".emf", ".h5", ".hdf", ".grib", ".bufr"),
    *(".mpg", ".mpeg", ".fli", ".flc", ".ico", ".icns", ".cur"),
}

# What follows or precedes the name of an image in the name of its mask, and of the image itself.
MASK_AFFIXES = (
    *("gtfine_labeltrainids", "gtfine_labelids", "labeltrainids", "labelids", "gtcoarse_labelids"),
    *("masks", "mask", "labels", "label", "lbl", "gt", "l", "seg", "segmentation", "annotation"),
    *("annot", "groundtruth", "ground_truth", "target", "semantic", "color_mask"),
)
IMAGE_AFFIXES = ("leftimg8bit", "image", "img", "images", "sat", "rgb", "photo", "input", "orig")
# Files beside Cityscapes' masks that are none.
NO_MASK = re.compile(r"_gt(fine|coarse)_(color|instanceids)$|_instanceids$", re.I)
# The masks of Cityscapes, the preferred one first.
RANKED_ENDINGS = ("labeltrainids", "labelids")


def parse_folder(name: str) -> tuple[str | None, str, str | None] | None:
    """Returns the role, its word and the split that a folder's name gives; `None` if none.

    >>> parse_folder("trainannot"), parse_folder("images_prepped_train"), parse_folder("city")
    (('mask', 'annot', 'train'), ('image', 'images', 'train'), None)
    """
    role, word, split = None, "", None
    plain = re.sub(r"[^a-z0-9]", "", name.lower())
    known = role_of(plain)
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
            elif role_of(part):
                if role != "mask":  # `mask_images` are masks
                    role, word = role_of(part), part
            elif part not in _FILLERS and not re.fullmatch(r"(19|20)\d\d", part):
                return None
    return (role, word, split) if role or split else None


def may_be_split(name: str) -> bool:
    """Returns whether a name that is that of no known split may be meant as one."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()
    return any(_SPLIT_LIKE.fullmatch(token) for token in re.findall(r"[a-z]+", spaced))


def is_leftover(name: str) -> bool:
    """Returns whether a file or folder is hidden, or was left there by a tool."""
    return _LEFTOVERS.fullmatch(name) is not None


@cache
def picture_suffixes() -> frozenset[str]:
    """Returns the extensions of images that can be read."""
    formats = Image.registered_extensions()
    readable = {suffix for suffix, name in formats.items() if name in Image.OPEN}
    # Pillow reads MPO, JPEG files with more than one picture, by its reader of JPEG.
    return frozenset(readable | {".mpo"}) - _NO_PICTURES


def rank_of_word(word: str) -> int:
    """Returns the place of a word of folders among those that are preferred."""
    words = (*IMAGE_WORDS, *WEAK_IMAGE_WORDS, *MASK_WORDS, "")
    return words.index(word)


def name_forms(stem: str, affixes: Sequence[str]) -> list[str]:
    """Returns a name as it is, then without what its role adds to it.

    >>> name_forms("x_mask", MASK_AFFIXES), name_forms("x.jpg", MASK_AFFIXES)
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


def composed(name: str) -> str:
    """Returns a name with composed letters: macOS stores an umlaut as two characters."""
    return unicodedata.normalize("NFC", name)


def role_of(word: str) -> str | None:
    """Returns what a word means, "image" or "mask"."""
    if word in IMAGE_WORDS or word in WEAK_IMAGE_WORDS:
        return "image"
    return "mask" if word in MASK_WORDS else None


def matches_pattern(relative: Path, pattern: str) -> bool:
    """Returns whether a pattern of `*`, `?`, `**` and `{a,b}` matches a path."""
    braces = re.search(r"\{([^{}]*)\}", pattern)
    if braces:
        return any(
            matches_pattern(relative, pattern[: braces.start()] + word + pattern[braces.end() :])
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


def is_wild(part: str) -> bool:
    """Returns whether a part of a path is a pattern."""
    return any(sign in part for sign in "*?[{")


def _unglued(token: str) -> list[str]:
    """Returns the words of one such as `trainannot` or `maskstrain`."""
    if token in SPLIT_WORDS or role_of(token):
        return [token]
    for split in (*sorted(SPLIT_WORDS, key=len, reverse=True), *_FILLERS):
        for rest in (token.removeprefix(split), token.removesuffix(split)):
            if rest != token and role_of(rest):
                return [split, rest]
    return [token]
