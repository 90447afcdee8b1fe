from pathlib import Path

import pytest
from keras_fcn_train import Config, fit
from keras_fcn_train.studies import networks, patch_sampling, runs, upsampling
from keras_fcn_train.studies.runs import Run, Trained
from keras_fcn_train.workdir import locked_workdir, write_config

from .tiny_dataset import dataset_of


def log_of(rows):
    names = ("epoch", "seconds", "val_loss", "val_mean_iou")
    return [dict(zip(names, row, strict=False)) for row in rows]


def test_patches_are_of_as_many_steps_and_cells():
    base = Config().replace(dataset="tiny", batch_size=2, epochs=3)

    configs = [run.config for run in patch_sampling.runs(base, dataset_of(19))]

    # 16 of the 19 images fill batches of 2, 4 and 8: 8 steps an epoch, 4 and 2.
    assert [c.data.limit for c in configs] == [16] * 3
    assert [(c.data.batch_size, c.run.epochs, c.run.validate_every) for c in configs] == [
        (2, 3, 1), (4, 6, 2), (8, 12, 4),
    ]  # fmt: skip
    assert [c.data.loss_share * c.data.batch_size for c in configs] == [2] * 3


def test_patches_need_images_for_the_largest_batch():
    with pytest.raises(ValueError, match="must fill a batch of 4 times.*7 images, batch_size=2"):
        patch_sampling.runs(Config().replace(dataset="tiny", batch_size=2), dataset_of(7))


def test_the_table_of_patches_is_by_steps():
    base = Config().replace(dataset="tiny", batch_size=2, epochs=2)
    whole, half, _ = patch_sampling.runs(base, dataset_of(16))
    trained = {
        "whole": Trained(whole.config, Path(), log_of([(0, 4, 2.0, 0.1), (1, 2, 1.0, 0.25)])),
        "half": Trained(
            half.config,
            Path(),
            log_of([(0, 5), (1, 3, 1.5, 0.2), (2, 3), (3, 5, 0.5, 0.5)]),
        ),
    }

    report = patch_sampling.report(trained, dataset_of(16))

    assert report.header[1:] == (
        "loss, all cells", "loss, 1 in 2", "mean IoU, all cells", "mean IoU, 1 in 2",
    )  # fmt: skip
    # An epoch of whole images is 8 steps: 6 seconds for 16, and 16 with half of the cells.
    assert report.rows == [
        ("8", "2.000", "1.500", "10.0", "20.0"),
        ("16", "1.000", "0.500", "25.0", "50.0"),
        ("seconds per step", "0.38", "1.00", "", ""),
    ]


def test_all_networks_at_the_end_had_as_many_steps():
    stages = {run.name: run for run in networks.runs(Config().replace(epochs=4), dataset_of(1))}
    total = {}
    for name, run in stages.items():
        total[name] = run.config.run.epochs + (total[run.starts_from] if run.starts_from else 0)

    assert total == {
        "fcn32s": 4, "fcn16s": 8, "fcn8s": 12, "fcn32s_longer": 12, "fcn8s_atonce": 12,
    }  # fmt: skip
    assert [run.config.model.variant for run in stages.values()] == [
        "fcn32s", "fcn16s", "fcn8s", "fcn32s", "fcn8s_atonce",
    ]  # fmt: skip


def test_the_table_of_networks_has_the_papers_rows():
    metrics = dict.fromkeys(
        ("val_pixel_accuracy", "val_mean_accuracy", "val_mean_iou", "val_frequency_weighted_iou"),
        0.5,
    )
    trained = {
        run.name: Trained(run.config, Path(), [{"epoch": 0, "seconds": 60, **metrics}])
        for run in networks.runs(Config().replace(epochs=1), dataset_of(1))
    }

    rows = networks.report(trained, dataset_of(1)).rows

    half = ("50.0",) * 4
    assert rows[0] == ("FCN-32s", *half, "1", "1.0")
    assert rows[2] == ("FCN-8s, from that", *half, "3", "3.0")
    assert rows[3] == ("FCN-32s, as long", *half, "3", "2.0")
    assert rows[5] == ("the paper's FCN-32s", "89.1", "73.3", "59.4", "81.4", "", "")


def test_fcn32s_has_no_inner_upsampling():
    kinds = {
        variant: [
            run.name for run in upsampling.runs(Config().replace(variant=variant), dataset_of(1))
        ]
        for variant in ("fcn32s", "fcn8s")
    }

    assert kinds == {"fcn32s": ["fixed", "learned"], "fcn8s": ["fixed", "inner", "learned"]}


def test_a_data_set_must_have_the_name_in_the_configuration(tmp_path):
    config = Config().replace(workdir=str(tmp_path / "run"), backbone_weights=None)

    with pytest.raises(ValueError, match="must have the name.*named 'tiny'.*'sample'"):
        fit(config, dataset_of(1))

    assert not (tmp_path / "run").exists()


def test_a_study_wants_one_label_map_and_a_validation_split():
    with pytest.raises(ValueError, match="one label per pixel.*'sample_geometric' has several"):
        runs.open_base(Config().replace(dataset="sample_geometric"))
    with pytest.raises(ValueError, match="on a validation split"):
        runs.open_base(Config().replace(validation_split=None))


def test_a_study_does_not_train_where_another_one_does(tmp_path):
    config = Config().replace(workdir=str(tmp_path / "first"))

    for is_resumed in (False, True):
        with locked_workdir(config) as workdir:
            if is_resumed:
                write_config(workdir, config)
            with pytest.raises(ValueError, match=r"A training is running in .*first, .* process"):
                runs.train_all([Run("first", config)], tmp_path)


def test_a_run_starts_from_the_last_network_of_another(tmp_path, monkeypatch):
    started = []
    monkeypatch.setattr(runs, "fit", lambda config, dataset: started.append(config))

    runs.train_all(
        [Run("first", Config().replace(epochs=2)), Run("second", Config(), starts_from="first")],
        tmp_path,
    )

    assert [config.run.workdir for config in started] == [
        str(tmp_path / "first"), str(tmp_path / "second"),
    ]  # fmt: skip
    assert [config.model.init for config in started] == [
        None,
        str(tmp_path / "first" / "last.keras"),
    ]
