"""A further set takes a few lines, also with other inputs and several label maps."""

import io
import json
from pathlib import Path
from typing import ClassVar

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

from keras_fcn import LabelSpec
from keras_fcn.datasets import tfds_reader
from keras_fcn.datasets.tfds_builder import (
    SegmentationBuilder,
    SegmentationConfig,
    png_of,
    stored_image,
)

SPECS = {"semantic": LabelSpec.numbered(33), "geometric": LabelSpec.numbered(3)}
SIZE = (5, 7)


class Builder(SegmentationBuilder):
    """Pairs of `NAME.png` and `NAME.json`, with depth and two label maps."""

    name = "two_maps"
    pkg_dir_path = Path(__file__).parent  # where tfds looks for README.md
    BUILDER_CONFIGS: ClassVar = [SegmentationConfig(name="plain", variant="plain")]
    LABELS = SPECS
    ARCHIVES: ClassVar = {"plain": []}

    @classmethod
    def find_files(cls, folders, variant):
        (folder,) = folders
        return {
            "train": {
                path.stem: {"image": path, "maps": path.with_suffix(".json")}
                for path in sorted(folder.glob("*.png"))
            }
        }

    def features(self):
        return {
            "image": tfds.features.Image(shape=(None, None, 3)),
            "depth": tfds.features.Image(
                shape=(None, None, 1), dtype=np.uint16, encoding_format="png"
            ),
            "label": {
                head: tfds.features.LabeledImage(labels=spec.num_classes, encoding_format="png")
                for head, spec in SPECS.items()
            },
            "id": tfds.features.Text(),
        }

    def read_example(self, files):
        maps = json.loads(files["maps"].read_text())
        contents, _ = stored_image(files["image"])
        return {
            "image": io.BytesIO(contents),
            "depth": np.array(maps["depth"], np.uint16)[..., None],
            "label": {head: io.BytesIO(png_of(np.array(maps[head], np.uint8))) for head in SPECS},
        }


def test_depth_and_two_label_maps_are_prepared_and_read(tmp_path, monkeypatch):
    source = tmp_path / "source"
    source.mkdir()
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (*SIZE, 3), dtype=np.uint8)
    maps = {
        "depth": rng.integers(0, 65536, SIZE),
        "semantic": rng.integers(0, 33, SIZE),
        "geometric": rng.integers(0, 3, SIZE),
    }
    Image.fromarray(image).save(source / "one.png")
    (source / "one.json").write_text(json.dumps({key: map_.tolist() for key, map_ in maps.items()}))
    monkeypatch.setitem(tfds_reader.BUILDERS, "two_maps", (__name__, "plain"))

    dataset = tfds_reader.open_prepared("two_maps", source, tmp_path / "prepared")
    (example,) = dataset.examples("train").as_numpy_iterator()

    assert dataset.labels == SPECS
    assert example["id"] == b"one"
    np.testing.assert_array_equal(example["image"], image)
    np.testing.assert_array_equal(example["depth"][..., 0], maps["depth"])
    for head in SPECS:
        np.testing.assert_array_equal(example["label"][head], maps[head])
