import pytest
from keras_fcn_train import Config
from keras_fcn_train.workdir import open_workdir, write_config


def started(config):
    workdir = open_workdir(config)
    write_config(workdir, config)
    return workdir


def test_folder_with_files_is_refused_and_left_as_it_is(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")

    with pytest.raises(ValueError, match="is not empty, and was not changed"):
        open_workdir(Config().replace(workdir=str(tmp_path)))

    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_opening_changes_nothing_yet(tmp_path):
    open_workdir(Config().replace(workdir=str(tmp_path / "new")))

    assert not (tmp_path / "new").exists()


def test_file_as_workdir_is_refused(tmp_path):
    (tmp_path / "file").write_text("")

    with pytest.raises(ValueError, match="is a file"):
        open_workdir(Config().replace(workdir=str(tmp_path / "file")))


def test_nothing_to_resume_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="There is no training to resume"):
        open_workdir(Config().replace(workdir=str(tmp_path / "typo"), resume=True))


def test_resume_names_the_settings_that_differ(tmp_path):
    config = Config().replace(workdir=str(tmp_path), learning_rate=0.1, crop_size=(64, 64))
    started(config)

    with pytest.raises(ValueError, match=r"learning_rate=0\.2 \(was 0\.1\); seed=") as error:
        open_workdir(config.replace(learning_rate=0.2, seed=3, resume=True))

    # ... in the order of the settings, and no others.
    assert "crop" not in str(error.value)
    assert f"--init {tmp_path / 'last.keras'}" in str(error.value)


def test_resume_allows_what_changes_no_weight(tmp_path):
    config = Config().replace(workdir=str(tmp_path))
    started(config)

    open_workdir(config.replace(resume=True, save_every=10, source="/moved", data_dir="/moved"))


def test_more_epochs_fit_a_constant_schedule_only(tmp_path):
    constant = Config().replace(workdir=str(tmp_path / "a"), schedule="constant", epochs=2)
    falling = constant.replace(workdir=str(tmp_path / "b"), schedule="polynomial")
    for config in (constant, falling):
        started(config)

    open_workdir(constant.replace(resume=True, epochs=3))
    with pytest.raises(ValueError, match=r"epochs=3 \(was 2\)"):
        open_workdir(falling.replace(resume=True, epochs=3))
    with pytest.raises(ValueError, match=r"epochs=1 \(was 2\)"):
        open_workdir(constant.replace(resume=True, epochs=1))


def test_written_configuration_is_the_given_one(tmp_path):
    config = Config().replace(workdir=str(tmp_path), ema_decay=0.9)

    workdir = started(config)

    assert Config.from_json(workdir.config.read_text()) == config
