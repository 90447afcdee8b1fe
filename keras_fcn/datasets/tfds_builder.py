"""The base of the datasets that TensorFlow Datasets (tfds) prepares.

Each is a folder with a `<name>_dataset_builder.py` that derives from
`SegmentationBuilder` and defines the classes, the archives, and the files of each example; see
`camvid`, the shortest. Reading, checking, storing and opening are the same for all.
"""

import abc
import dataclasses
import hashlib
import io
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image
from rich.console import Console
from rich.progress import Progress

from keras_fcn.data.dataset import IMAGE_KEYS
from keras_fcn.data.dataset_fingerprint import DatasetFingerprint, stamp_files
from keras_fcn.data.image_io import check_size, read_depth, read_image
from keras_fcn.data.masks import check_labels, read_mask
from keras_fcn.data.parallel import parallel_map
from keras_fcn.labels import Heads, Labels, LabelSpec

# The files of one example by feature: `image`, `depth`, `hha`, and `label`, or the names of the
# heads if there are several label maps.
Files = Mapping[str, Path]
# Split -> id of the example -> its files.
SplitFiles = Mapping[str, Mapping[str, Files]]

_EXIF_ORIENTATION = 0x0112


@dataclasses.dataclass(frozen=True)
class Archive:
    """A published archive.

    Args:
        url: Its address.
        checksum: `md5:` or `sha256:` and the hexadecimal digest; "" if there is no source for
            one. The dataset's README names the source.
    """

    url: str
    checksum: str = ""


@dataclasses.dataclass(eq=False, kw_only=True)
class SegmentationConfig(tfds.core.BuilderConfig):
    """One way to prepare a dataset.

    Args:
        variant: One of the dataset's variants, such as `2012_aug`.
        source: Folder of the files; "" for the archives.
    """

    variant: str
    source: str = ""


class SegmentationBuilder(tfds.core.GeneratorBasedBuilder):
    """Prepares images with label maps, from archives or from the user's folder.

    Image files are stored unchanged (a JPEG stays a JPEG), label maps as gray PNG files of the
    labels, depth as PNG files of 16 bits. Each image is decoded and each label compared with the
    classes once, here, so that a damaged file is reported before any training.
    """

    VERSION = tfds.core.Version("1.0.0")

    HOMEPAGE: ClassVar[str] = ""
    LABELS: ClassVar[Labels]
    # Archives by variant; their unpacked folders are where `find_files` looks.
    ARCHIVES: ClassVar[Mapping[str, Sequence[Archive]]]
    # For archives without a checksum: the `pixels_digest` of splits.
    PIXELS: ClassVar[Mapping[str, str]] = {}

    fingerprint: DatasetFingerprint | None = None  # after preparing: of the files that were read

    @classmethod
    @abc.abstractmethod
    def find_files(cls, folders: Sequence[Path], variant: str) -> SplitFiles:
        """Returns the files of each example of each split.

        Args:
            folders: The folder that the user named, or the unpacked archives.
            variant: One of the keys of `ARCHIVES`.

        Returns:
            Files by split and id, some of which may be missing.

        Raises:
            ValueError: If the folders do not contain the dataset; the text has the expected layout.
        """

    @property
    def labels(self) -> Labels:
        """The classes of this variant."""
        return self.LABELS

    @property
    def heads(self) -> Heads:
        """The classes of each label map by name."""
        return Heads(self.labels)

    @property
    def modalities(self) -> tuple[str, ...]:
        """The modalities that every example has."""
        return ("rgb",)

    def features(self) -> dict[str, Any]:
        """Returns the stored features of an example, by name."""
        heads = self.heads
        label_features = {
            head: tfds.features.LabeledImage(
                labels=list(spec.class_names), shape=(None, None, 1), encoding_format="png"
            )
            for head, spec in heads.items()
        }
        return {
            **{IMAGE_KEYS[name]: _IMAGE_FEATURES[name]() for name in self.modalities},
            "label": heads.unwrapped(label_features),
            "id": tfds.features.Text(),
        }

    def read_example(self, files: Files) -> dict[str, Any]:
        """Returns the stored form of an example, without its id, after checking it."""
        contents, size = stored_image(files["image"])
        example: dict[str, Any] = {"image": io.BytesIO(contents)}
        for name in self.modalities:
            if name != "rgb":
                example[name] = self.read_further_image(name, files, size)
        label_maps = {
            head: self._stored_label(path, files["image"], size, self.heads[head])
            for head, path in self.label_files(files).items()
        }
        return {**example, "label": self.heads.unwrapped(label_maps)}

    def label_files(self, files: Files) -> dict[str, Path]:
        """Returns the file of each label map by head."""
        return {head: files[head] if head in files else files["label"] for head in self.heads}

    def read_label(self, path: Path) -> np.ndarray:
        """Returns the labels of a file that `find_files` found, uint8, `(height, width)`."""
        return read_mask(path)

    def read_further_image(self, name: str, files: Files, size: tuple[int, int]) -> Any:
        """Returns the stored form of an image of another modality than `rgb`.

        Args:
            name: `depth` or `hha`.
            files: The files of the example.
            size: Height and width of its RGB image.
        """
        if name == "depth":
            depth = read_depth(files[name])
            check_size(files["image"], size, files[name], depth.shape, "depth map")
            return depth[..., None]
        contents, own_size = stored_image(files[name])
        check_size(files["image"], size, files[name], own_size, "HHA image")
        return io.BytesIO(contents)

    def _stored_label(
        self, path: Path, image: Path, size: tuple[int, int], spec: LabelSpec
    ) -> io.BytesIO:
        label = self.read_label(path)
        check_size(image, size, path, label.shape)
        check_labels(label, spec, path)
        return io.BytesIO(png_of(label))

    def _info(self) -> tfds.core.DatasetInfo:
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(self.features()),
            homepage=self.HOMEPAGE,
            metadata=tfds.core.MetadataDict(
                labels=self.heads.to_json(), source=self.builder_config.source
            ),
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator[Any]]:
        source = self.builder_config.source
        variant = self.builder_config.variant
        if source:
            folders = [Path(source)]
        elif not self.ARCHIVES[variant]:
            raise ValueError(
                f"{self.name}/{variant} is not published as an archive. Give the folder of its "
                "files as `source`."
            )
        else:
            folders = [_download(dl_manager, archive) for archive in self.ARCHIVES[variant]]
        splits = self.find_files(folders, variant)
        check_present(splits)
        # Before anything is read: what is edited meanwhile has changed since.
        self.fingerprint = fingerprint_of(splits, folders[0], self.heads)
        if not source:
            _check_pixels(self.PIXELS, splits, folders)
        console = Console(stderr=True)
        progress = Progress(console=console, transient=True, disable=not console.is_terminal)
        task = progress.add_task(
            f"Preparing {self.name}", total=sum(len(examples) for examples in splits.values())
        )
        return {
            split: self._generate_examples(examples, progress, task)
            for split, examples in splits.items()
        }

    def _generate_examples(
        self, examples: Mapping[str, Files], progress: Progress, task: Any
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        stored = parallel_map(self.read_example, examples.values())
        with progress:
            for example_id, example in zip(examples, stored, strict=True):
                yield example_id, {**example, "id": example_id}
                progress.advance(task)


_IMAGE_FEATURES: dict[str, Callable[[], Any]] = {
    "rgb": lambda: tfds.features.Image(shape=(None, None, 3)),
    "hha": lambda: tfds.features.Image(shape=(None, None, 3)),
    "depth": lambda: tfds.features.Image(
        shape=(None, None, 1), dtype=np.uint16, encoding_format="png"
    ),
}


def fingerprint_of(
    splits: SplitFiles, folder: Path, heads: Heads, known: DatasetFingerprint | None = None
) -> DatasetFingerprint:
    """Returns the fingerprint of the files of a dataset.

    Args:
        splits: The files that `find_files` found in `folder`.
        folder: Names are relative to it.
        heads: The classes.
        known: An earlier fingerprint, which saves reading files that are as they were.
    """
    files = {
        split: {id_: sorted(paths.items()) for id_, paths in examples.items()}
        for split, examples in splits.items()
    }
    return DatasetFingerprint(stamp_files(files, folder, known), {"classes": heads.to_dict()})


def files_digest(splits: SplitFiles) -> str:
    """Returns eight digits that change when a file is added, removed or changed."""
    digest = hashlib.blake2b(digest_size=4)
    for split, examples in sorted(splits.items()):
        for example_id, files in sorted(examples.items()):
            for kind, path in sorted(files.items()):
                stat = path.stat()
                digest.update(
                    f"{split}/{example_id}/{kind}/{path.parent.name}/{path.name}/"
                    f"{stat.st_size}/{stat.st_mtime_ns}\n".encode()
                )
    return digest.hexdigest()


def pixels_digest(examples: Mapping[str, Files]) -> str:
    """Returns the SHA-256, hexadecimal, of the ids and pixels of image files, however packed."""
    digest = hashlib.sha256()
    for example_id, files in sorted(examples.items()):
        for _, path in sorted(files.items()):
            with Image.open(path) as image:
                pixels = np.asarray(image)
            digest.update(f"{example_id} {pixels.shape} {pixels.dtype}\n".encode())
            digest.update(pixels.tobytes())
    return digest.hexdigest()


def _check_pixels(expected: Mapping[str, str], splits: SplitFiles, folders: Sequence[Path]) -> None:
    for split, digest in expected.items():
        received = pixels_digest(splits.get(split, {}))
        if received != digest:
            raise ValueError(
                f"{folders[0]}: the split {split!r} of the archive was damaged or replaced: the "
                f"SHA-256 of its pixels is not {digest} but {received}. To use it nevertheless, "
                "give that folder as `source`."
            )


def stored_image(path: Path) -> tuple[bytes, tuple[int, int]]:
    """Returns an image as bytes that `decode_image` reads exactly, and its (height, width).

    A JPEG or PNG that needs no conversion is returned unchanged; everything else (other formats,
    rotation by EXIF) becomes a PNG.
    """
    pixels = read_image(path)
    with Image.open(path) as image:
        as_it_is = (
            image.format in ("JPEG", "PNG")
            and image.mode in ("RGB", "L")
            and image.getexif().get(_EXIF_ORIENTATION, 1) == 1
        )
    if as_it_is:
        return path.read_bytes(), pixels.shape[:2]
    return png_of(pixels), pixels.shape[:2]


def png_of(array: np.ndarray) -> bytes:
    """Returns a PNG of a label map or of an RGB image, uint8."""
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, "PNG")
    return stream.getvalue()


def check_present(splits: SplitFiles) -> None:
    """Raises ValueError with the missing file, unless all files exist."""
    missing = [
        path
        for examples in splits.values()
        for files in examples.values()
        for path in files.values()
        if not path.exists()
    ]
    if missing:
        raise ValueError(
            f"{missing[0]} is missing{f', and {len(missing) - 1} more files' * (len(missing) > 1)}"
            ". Is the folder complete?"
        )


def find_folder(folders: Sequence[Path], places: Sequence[str], what: str) -> Path:
    """Returns the first existing folder `folder/place`; `place` may have wildcards.

    Raises:
        ValueError: If there is none, with the folders that were searched.
    """
    for folder in folders:
        for place in places:
            # `glob` would not yield the folder itself for "".
            found = sorted(folder.glob(place)) if place else [folder]
            if found and found[0].is_dir():
                return found[0]
    raise ValueError(
        f"No {what} found in {', '.join(str(folder) for folder in folders)}. Looked for the "
        f"folders: {', '.join(place or '.' for place in places)}."
    )


def _download(dl_manager: Any, archive: Archive) -> Path:
    if sys.stderr.isatty():
        tfds.enable_progress_bar()
    try:
        path = Path(dl_manager.download(archive.url))
    except Exception as error:  # tfds, `requests` and the network have errors of many types
        raise ConnectionError(
            f"{archive.url} cannot be downloaded ({type(error).__name__}). Download it by another "
            "way, unpack it, and give the folder as `source`."
        ) from error
    finally:
        tfds.disable_progress_bar()
    if archive.checksum:
        _verify(path, archive)
    return Path(dl_manager.extract(path))


def _verify(path: Path, archive: Archive) -> None:
    kind, _, expected = archive.checksum.partition(":")
    with path.open("rb") as file:
        received = hashlib.file_digest(file, kind).hexdigest()
    if received != expected:
        path.unlink()
        raise ValueError(
            f"{archive.url}: the download is damaged or was replaced. Expected {archive.checksum}, "
            f"received {kind}:{received}. It was deleted; try again."
        )
