import numpy as np
import pytest
from keras_fcn_train import Config, load_recipe
from keras_fcn_train.config import settings
from keras_fcn_train.studies import STUDIES
from PIL import Image

from .tiny_dataset import dataset_of


@pytest.mark.parametrize("study", STUDIES.values(), ids=STUDIES)
def test_options_and_settings_have_different_names(study):
    assert set(study.settings) <= set(settings())
    assert not {option.name for option in study.options} & set(settings())


@pytest.mark.parametrize("name", ["label-downsampling", "shift-and-stitch"])
def test_these_studies_train_nothing(name):
    assert STUDIES[name].runs(Config(), dataset_of(1)) == []


def test_defaults_of_one_backbone_or_dataset_are_left_out_for_another():
    study = STUDIES["patch-sampling"]

    assert study.base({}) == study.defaults
    assert (study.defaults.backbone.alpha, study.defaults.data.limit) == (0.5, 512)
    vgg = study.base({"backbone": "vgg16"})
    assert (vgg.backbone.alpha, vgg.data.limit) == (None, 512)
    camvid = study.base({"dataset": "camvid", "epochs": 2})
    assert (camvid.backbone.alpha, camvid.data.limit, camvid.run.epochs) == (0.5, None, 2)


def test_a_recipe_gives_all_settings_but_the_workdir():
    base = STUDIES["networks"].base({"recipe": "camvid_mobilenet_v2", "epochs": 2})

    assert base == load_recipe("camvid_mobilenet_v2").replace(
        workdir="runs/study_networks", epochs=2
    )


def test_label_downsampling_reports_the_papers_row_below_its_own():
    report = STUDIES["label-downsampling"].report({}, dataset_of(3), split="train", images=2)

    # The one row 0, 1, 2, ignored: cells of 4 and more pixels are of class 0 by majority, which
    # hits one of the three labeled pixels: IoU 1/3, and 0 for the two other classes.
    assert report.rows[1] == ("majority of each cell, repeated", *["11.1"] * 6)
    assert report.rows[3][1:] == ("50.9", "73.3", "86.1", "92.8", "96.4", "98.5")
    assert report.notes == ("tiny, train: 2 images.",)


def test_shift_and_stitch_reports_runs_and_sizes(tmp_path):
    path = tmp_path / "image.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (13, 14, 3), "uint8")).save(path)

    report = STUDIES["shift-and-stitch"].report({}, dataset_of(1), image=path, blocks=1)

    # One block sees 6 pixels: 13x14 less 6, plus 1.
    assert [row[:3] for row in report.rows] == [
        ("stride 2", "1", "4x5"),
        ("shifted and stitched", "4", "8x9"),
        ("without strides, dilated", "1", "8x9"),
    ]
    assert "of the logits' range" in report.notes[0]
