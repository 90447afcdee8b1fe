"""Preparing and opening the datasets that TensorFlow Datasets (tfds) stores."""

import contextlib
import importlib
import io
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import tensorflow as tf
import tensorflow_datasets as tfds
from absl import logging

from keras_fcn.data.dataset import Example, SegmentationDataset, modalities_of
from keras_fcn.data.dataset_fingerprint import DatasetChanges, DatasetFingerprint, stamp_files
from keras_fcn.data.image_io import decode_image, decode_label
from keras_fcn.datasets.tfds_builder import (
    SegmentationBuilder,
    SegmentationConfig,
    SplitFiles,
    check_present,
    files_digest,
    fingerprint_of,
)
from keras_fcn.files import move, temporary_folder, write_bytes, write_text
from keras_fcn.labels import Heads

_FINGERPRINT = "fingerprint.json.z"  # in a prepared copy
_SOURCE = "source.txt"  # the folder that it was prepared from

# Name -> (module of the builder, variant).
BUILDERS = {
    "camvid": ("keras_fcn.datasets.camvid.camvid_dataset_builder", "segnet"),
    "voc2011": ("keras_fcn.datasets.voc.voc_dataset_builder", "2011"),
    "voc2012": ("keras_fcn.datasets.voc.voc_dataset_builder", "2012"),
    "voc2011_sbd": ("keras_fcn.datasets.voc.voc_dataset_builder", "2011_sbd"),
    "voc2012_aug": ("keras_fcn.datasets.voc.voc_dataset_builder", "2012_aug"),
    "nyudv2": ("keras_fcn.datasets.nyudv2.nyudv2_dataset_builder", "40"),
    "nyudv2_13": ("keras_fcn.datasets.nyudv2.nyudv2_dataset_builder", "13"),
    "siftflow": ("keras_fcn.datasets.siftflow.siftflow_dataset_builder", "tighe"),
    "pascalcontext59": (
        "keras_fcn.datasets.pascal_context.pascal_context_dataset_builder",
        "59",
    ),
    "pascalcontext": (
        "keras_fcn.datasets.pascal_context.pascal_context_dataset_builder",
        "60",
    ),
    "pascalcontext33": (
        "keras_fcn.datasets.pascal_context.pascal_context_dataset_builder",
        "33",
    ),
}


def prepare(
    name: str, source: str | Path | None = None, data_dir: str | Path | None = None
) -> SegmentationDataset:
    """Prepares a dataset, unless it is prepared, and opens it.

    Args:
        name: One of `BUILDERS`.
        source: Folder of the files; without it the archives are downloaded.
        data_dir: Folder of the prepared datasets; that of tfds by default.

    Raises:
        ValueError: If the files are not those of the dataset, or a label is wrong.
        ConnectionError: If an archive cannot be downloaded.
    """
    builder = _builder(name, source, data_dir)
    if builder.data_path.exists():
        return _open(name, builder.data_path)
    copies = _copies_of_folders(builder) if source is not None else []
    _prepare(builder)
    dataset = _open(name, builder.data_path)
    earlier = [copy for copy in copies if _source(copy) == builder.builder_config.source]
    before = _fingerprint(earlier[0]) if earlier else None
    if before is None or builder.fingerprint is None:
        return dataset
    changes = builder.fingerprint.changes_since(before)
    note = f"Prepared again, because {source} changed since it was prepared ({changes})."
    return replace(dataset, notes=(*dataset.notes, note)) if changes else dataset


def _prepare(builder: SegmentationBuilder) -> None:
    """Prepares a dataset in a temporary folder, which is removed even after a kill; see `files`."""
    root, target = Path(builder.data_dir_root), Path(builder.data_path)
    # GCS is Google's storage of prepared datasets, which does not have ours.
    config = tfds.download.DownloadConfig(try_download_gcs=False)
    with temporary_folder(root) as folder, _quiet_tfds():
        unfinished = type(builder)(config=builder.builder_config, data_dir=folder)
        unfinished.download_and_prepare(download_dir=root / "downloads", download_config=config)
        builder.fingerprint = unfinished.fingerprint
        if unfinished.fingerprint is not None:
            path = Path(unfinished.data_path)
            write_bytes(path / _FINGERPRINT, unfinished.fingerprint.to_bytes())
            write_text(path / _SOURCE, builder.builder_config.source)
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            move(Path(unfinished.data_path), target)
        except OSError:
            # Another process may have finished first: then the folder cannot be renamed.
            if not target.exists():
                raise


def open_prepared(
    name: str, source: str | Path | None = None, data_dir: str | Path | None = None
) -> SegmentationDataset:
    """Opens a dataset: prepared from `source`, else the one prepared before.

    Without `source` it opens the dataset that was prepared from the archives, else the one that
    was last prepared from a folder.

    Raises:
        ValueError: If there is no `source` and the dataset is not prepared.
    """
    if source is not None:
        return prepare(name, source, data_dir)
    builder = _builder(name, None, data_dir)
    if builder.data_path.exists():
        return _open(name, builder.data_path)
    copies = _copies_of_folders(builder)
    if not copies:
        raise ValueError(
            f"Dataset {name!r} is not prepared in {builder.data_dir_root}. Run: keras-fcn "
            f"datasets prepare --dataset {name}, with --source FOLDER if you have its files."
        )
    dataset = _open(name, copies[0])
    changes = _changes_of_source(builder, copies[0])
    if not changes:
        return dataset
    place = _source(copies[0])
    note = (
        f"{place} changed since it was prepared ({changes}). The copy is used as it was prepared; "
        f"--source {place} prepares it again."
    )
    return replace(dataset, notes=(*dataset.notes, note))


def _copies_of_folders(builder: SegmentationBuilder) -> list[Path]:
    """Returns the copies that were prepared from folders, the newest first."""
    found = Path(builder.data_path).parent.parent.glob(
        f"{builder.builder_config.variant}_local_*/{builder.version}"
    )
    return sorted(found, key=lambda path: path.stat().st_mtime, reverse=True)


def _changes_of_source(builder: SegmentationBuilder, copy: Path) -> DatasetChanges | str | None:
    """Returns what changed in the folder of a copy; `None` without the folder, or its record."""
    before, source = _fingerprint(copy), _source(copy)
    if before is None or not source or not Path(source).is_dir():
        return None
    try:
        files = builder.find_files([Path(source)], builder.builder_config.variant)
        check_present(files)
        now = fingerprint_of(files, Path(source), builder.heads, before)
    except (ValueError, OSError) as error:
        return str(error).rstrip(".")
    return now.changes_since(before)


def _fingerprint(copy: Path) -> DatasetFingerprint | None:
    """Returns the fingerprint of the files that a copy was prepared from, if it has one.

    Raises:
        ValueError: If it is damaged. The text has its path.
    """
    path = copy / _FINGERPRINT
    if not path.is_file():
        return None
    try:
        return DatasetFingerprint.from_bytes(path.read_bytes())
    except ValueError as error:
        raise ValueError(
            f"{path} is damaged ({error}). Remove {copy} to prepare it again."
        ) from error


def _source(copy: Path) -> str:
    path = copy / _SOURCE
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""


def find_source_files(name: str, source: str | Path) -> tuple[SegmentationBuilder, SplitFiles]:
    """Returns the builder of a dataset, and the files of a folder by split, unchecked.

    Raises:
        ValueError: If the folder does not contain the dataset.
    """
    builder = _builder(name, None, None)
    folder = _existing_folder(name, source)
    return builder, builder.find_files([folder], builder.builder_config.variant)


def heads_of_dataset(name: str) -> Heads:
    """Returns the classes of one of `BUILDERS`, which need not be prepared."""
    return _builder(name, None, None).heads


def _builder(
    name: str, source: str | Path | None, data_dir: str | Path | None
) -> SegmentationBuilder:
    module, variant = BUILDERS[name]
    builder_class = importlib.import_module(module).Builder
    config: str | SegmentationConfig = variant
    if source is not None:
        folder = _existing_folder(name, source)
        files = builder_class.find_files([folder], variant)
        check_present(files)
        config = SegmentationConfig(
            name=f"{variant}_local_{files_digest(files)}", variant=variant, source=str(folder)
        )
    with _quiet_tfds():
        return builder_class(config=config, data_dir=data_dir and Path(data_dir).expanduser())


def _existing_folder(name: str, source: str | Path) -> Path:
    folder = Path(source).expanduser().resolve()
    if not folder.is_dir():
        raise ValueError(f"The source of {name!r} must be a folder. Received: {source}.")
    return folder


def _open(name: str, path: Path) -> SegmentationDataset:
    builder = tfds.builder_from_directory(path)
    decoders = _decoders(builder.info.features)
    # The pipeline keeps the data in memory, not tfds.
    read_config = tfds.ReadConfig(try_autocache=False)

    def records(split: str) -> tf.data.Dataset:
        return builder.as_dataset(
            split=split,
            decoders=_skipped(decoders),
            shuffle_files=False,
            read_config=read_config,
        )

    def fingerprint(splits: Sequence[str], known: DatasetFingerprint | None) -> DatasetFingerprint:
        stored = _fingerprint(path)
        if stored is None:  # another version prepared it: its own files
            shards = {
                split: {
                    Path(shard).name: [("prepared", Path(shard))]
                    for shard in builder.info.splits[split].filepaths
                }
                for split in splits
            }
            labels = builder.info.metadata["labels"]
            stored = DatasetFingerprint(stamp_files(shards, path, known), {"classes": labels})
        return stored

    return SegmentationDataset(
        name=name,
        labels=Heads.from_json(builder.info.metadata["labels"]).labels,
        splits={split: info.num_examples for split, info in builder.info.splits.items()},
        records=records,
        decode=partial(_decode, decoders),
        description=builder.info.description,
        citation=builder.info.citation,
        modalities=modalities_of(decoders),
        find_fingerprint=fingerprint,
    )


# Our own decoding of each stored feature, in the same nesting; `None` leaves the decoding to
# tfds.
_Decoders = dict[str, Any]


def _decoders(features: Any) -> _Decoders:
    return {key: _decoder(feature) for key, feature in features.items()}


def _decoder(feature: Any) -> Any:
    if isinstance(feature, tfds.features.FeaturesDict):
        return _decoders(feature)
    if isinstance(feature, tfds.features.LabeledImage):
        return decode_label
    if isinstance(feature, tfds.features.Image) and feature.np_dtype == "uint8":
        return decode_image
    return None


def _skipped(decoders: _Decoders) -> dict[str, Any]:
    """Returns the features that tfds should not decode."""
    return {
        key: _skipped(decoder) if isinstance(decoder, dict) else tfds.decode.SkipDecoding()
        for key, decoder in decoders.items()
        if decoder is not None
    }


def _decode(decoders: _Decoders, record: Example) -> Example:
    decoded = {}
    for key, value in record.items():
        decoder = decoders[key]
        if isinstance(decoder, dict):
            decoded[key] = _decode(decoder, value)
        else:
            decoded[key] = value if decoder is None else decoder(value)
    return decoded


@contextlib.contextmanager
def _quiet_tfds() -> Iterator[None]:
    """Keeps tfds from printing and logging; the builder shows progress itself."""
    verbosity = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)
    tfds.disable_progress_bar()
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        tfds.enable_progress_bar()
        logging.set_verbosity(verbosity)
