import json
import sys
from dataclasses import replace

import numpy as np
import pytest
from keras_fcn_benchmark.scripts import plans, program
from keras_fcn_cli.settings import given_settings
from keras_fcn_cli.train import command as train
from keras_fcn_cli.train import configuration
from PIL import Image

ALIVE = {"a": "train", "b": "train", "c": "val"}


@pytest.fixture
def devkit(tmp_path):
    """VOCdevkit with three small images, the left half of which is a person, and one without."""
    root = tmp_path / "VOCdevkit" / "VOC2012"
    generator = np.random.default_rng(0)
    for folder in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (root / folder).mkdir(parents=True)
    for name in "abcd":
        image = generator.integers(0, 100, (48, 64, 3), dtype="uint8")
        labels = np.full((48, 64), 9, "uint8")  # chair
        if name in ALIVE:
            image[:, :32] += 100
            labels[:, :32] = 15
            labels[:, 32] = 255
        Image.fromarray(image).save(root / "JPEGImages" / f"{name}.jpg")
        Image.fromarray(labels).save(root / "SegmentationClass" / f"{name}.png")
    (root / "ImageSets" / "Segmentation" / "train.txt").write_text("d\na\nb\n")
    (root / "ImageSets" / "Segmentation" / "val.txt").write_text("c\n")
    return root.parent


def test_a_training_in_another_way_is_run_once_and_becomes_a_line(
    devkit, tmp_path, capsys, monkeypatch
):
    # A smaller network, which is built sooner.
    smaller = plans.DEFAULTS_0_1_0.replace("mobilenet_v2 --alpha 1.0", "small_resnet")
    monkeypatch.setattr(plans, "DEFAULTS_0_1_0", smaller)
    arguments = ["--voc", str(devkit), "--output", str(tmp_path / "plans"), "--only", "binary",
                 "--columns", "0.1.0", "--seeds", "1", "--minutes-scale", "0.01"]  # fmt: skip

    plans.main(arguments)

    table = capsys.readouterr().out.splitlines()[-3:]
    folder = tmp_path / "plans" / "binary" / "0.1.0" / "seed0"
    metrics = json.loads((folder / "metrics.json").read_text())
    assert table[2].startswith(f"| binary | 0.1.0 | {metrics['mean_iou']:.3f} | ")
    # 48x64 pixels without the void column.
    assert np.sum(metrics["confusion_matrix"]) == 48 * 63
    config = json.loads((folder / "run" / "config.json").read_text())
    # What 0.1.0 did by default.
    assert config["backbone"]["weights"] is None
    assert (config["data"]["crop_size"], config["data"]["batch_size"]) == (None, 8)
    assert (config["run"]["epochs"], config["run"]["time"]) == (50, "2s")
    record = json.loads((folder / "training.json").read_text())
    assert record["seconds"] > 1
    assert record["peak_gib"] > 0.1

    plans.main(arguments)
    assert capsys.readouterr().out.splitlines() == table
    with pytest.raises(SystemExit, match="was trained by another command: keras-fcn train"):
        plans.main([*arguments, "--minutes-scale", "0.02"])


# Trains to a log of three epochs, and evaluates to one of three pixels right; fails once.
FAKE = """
import json, sys
from pathlib import Path
arguments = dict(zip(sys.argv[2::2], sys.argv[3::2]))
if sys.argv[1] == "train":
    run = Path(arguments["--workdir"])
    if "fold1" in run.parts and not (run.parents[2] / "failed").exists():
        (run.parents[2] / "failed").touch()
        sys.exit("no memory")
    run.mkdir()
    (run / "log.csv").write_text("epoch,loss\\n0,3\\n1,2\\n2,1\\n")
else:
    path = Path(arguments["--json"])
    counts = [[1, 2, 0], [0, 0, 0], [0, 0, 0]]
    if "fold1" in path.parts:
        counts = [[0, 0, 0], [0, 0, 0], [0, 0, 2]]
    path.write_text(json.dumps({"mean_iou": 0.9, "confusion_matrix": counts}))
"""


def test_a_failed_training_is_named_and_run_again(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(program, "PROGRAM", (sys.executable, "-c", FAKE))
    monkeypatch.setattr(program, "POLL_SECONDS", 0.01)
    monkeypatch.setitem(plans.ROWS, "nyu40", replace(plans.ROWS["nyu40"], folds=2))
    (tmp_path / "data" / "nyu40").mkdir(parents=True)
    arguments = ["--nyud", str(tmp_path), "--output", str(tmp_path), "--only", "nyu40",
                 "--columns", "plan", "--seeds", "1"]  # fmt: skip

    with pytest.raises(SystemExit, match=r"Failed: .*plan/seed0/fold1$"):
        plans.main(arguments)
    first = capsys.readouterr().out
    plans.main(arguments)
    second = capsys.readouterr().out

    assert "no memory" in first
    assert "| nyu40 |" not in first
    assert (first.count("keras-fcn train --dataset"), second.count("keras-fcn train")) == (2, 1)
    # Summed: 1 of 3 pixels of class 0 for itself, none of class 1, and both of class 2.
    assert f"| nyu40 | plan | {(1 / 3 + 0 + 1) / 3:.3f} | 3 | " in second
    plans.main(["--output", str(tmp_path), "--only", "nyu40", "--table"])
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("| nyu40 | plan | 0.444, 1 of 3 seeds | 3 | ")


def test_rows_need_their_files(tmp_path):
    with pytest.raises(SystemExit, match="The row camvid needs --camvid"):
        plans.main(["--output", str(tmp_path), "--only", "camvid"])


def test_ways_to_train_are_settings_of_today():
    configs = {
        (name, column): configuration(
            given_settings(
                train.make_context("train", plans._way(row, column, ["--dataset", "camvid"]))
            )
        )
        for name, row in plans.ROWS.items()
        for column in row.columns
    }

    # Those of smp's example; Adam is AdamW without decay.
    smp = configs["binary", "smp"].to_flat()
    assert (smp["loss"], smp["learning_rate"], smp["weight_decay"]) == ("dice", 2e-4, 0)
    assert (smp["batch_size"], smp["crop_size"], smp["epochs"]) == (32, (320, 320), 50)
    assert smp["scale"] == (0.5, 1.5)
    assert configs["camvid", "recipe"].data.dataset == "camvid"
    assert configs["voc", "recipe"].data.dataset == "voc2012_aug"
