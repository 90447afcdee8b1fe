"""Plans are a function of fingerprint and probe, so most tests need no training."""

import json

import pytest
from keras_fcn_train import Config
from keras_fcn_train import plan as plans
from keras_fcn_train.fingerprint import ClassFingerprint, Fingerprint
from keras_fcn_train.plan import Plan, choose, make_plan, next_trial
from keras_fcn_train.probe import Probe, Trial, probe_machine, try_config

from keras_fcn.labels import Heads

from .tiny_training import tiny_dataset

FAILURE = "more than 4 GiB"


def data(
    *classes, num_images=400, size=(360, 480), largest=(360, 480), channels=3, num_validation=100
):
    classes = classes or (("ground", 0.7, 90.0), ("box", 0.3, 40.0))
    ones = tuple(ClassFingerprint(name, share, 1.0, width) for name, share, width in classes)
    return Fingerprint(
        "mine", num_images, num_images, 0, num_validation, size, largest, channels, ("rgb",),
        {Heads.ONLY: ones},
    )  # fmt: skip


def machine(*trials, device="CPU", backbones=(("mobilenet_v2", 0.35),)):
    return Probe(device, 2, 4.0, tuple(backbones), tuple(trials))


def fits(batch=8, size=(288, 288), seconds=1.0):
    return (
        Trial("train", batch, size, seconds, 2.0),
        Trial("validate", 1, (360, 480), 0.1, 2.0),
    )


def fails(batch, size=(288, 288)):
    return Trial("train", batch, size, failure=FAILURE)


def chosen(fingerprint=None, probe=None, **given):
    plan = choose(fingerprint or data(), probe or machine(*fits()), given)
    return {name: choice.value for name, choice in plan.choices.items()}


def test_every_choice_is_a_setting_with_a_reason_in_words():
    plan = choose(data(), machine(*fits()), {})

    config = plan.apply(Config())
    for name, choice in plan.choices.items():
        assert config.to_flat()[name] == choice.value
        assert len(choice.reason.split()) >= 3, name


def test_the_same_data_and_probe_give_the_same_plan_also_from_the_file(tmp_path):
    plan = choose(data(), machine(*fits()), {"time": "30m"})
    plan.save(tmp_path / "plan.json")

    again = Plan.from_json((tmp_path / "plan.json").read_text())

    assert again.apply(Config()) == plan.apply(Config())
    assert choose(again.fingerprint, again.probe, {"time": "30m"}) == plan
    stored = json.loads((tmp_path / "plan.json").read_text())["settings"]["batch_size"]
    assert stored == {"value": 8, "reason": plan.choices["batch_size"].reason}


def test_what_is_given_is_kept_and_the_rest_follows_it():
    values = chosen(batch_size=32, epochs=3, probe=machine(*fits(32)))

    # 1e-3 for 8 images, twice that for 32.
    assert (values["batch_size"], values["epochs"], values["learning_rate"]) == (32, 3, 2e-3)
    assert values["patience"] is None
    plan = choose(data(), machine(*fits(32)), {"batch_size": 32})
    assert plan.choices["batch_size"].reason == "given by you"


def trials_of(fingerprint, outcome, **given):
    """The batches and crops that are tried until `outcome` has no failure."""
    probe = machine()
    tried = []
    while order := next_trial(fingerprint, probe, given):
        tried.append(order)
        trial = Trial("train", *order, 1.0, 2.0, outcome(*order))
        probe = machine(*probe.trials, trial)
    return tried, probe


def test_smaller_batches_and_then_smaller_crops_are_tried_until_one_fits():
    tried, probe = trials_of(data(), lambda batch, crop: "" if batch * crop[0] <= 256 else FAILURE)

    assert tried == [(8, (288, 288)), (2, (288, 288)), (8, (128, 128)), (2, (128, 128))]
    values = chosen(probe=probe)
    assert (values["batch_size"], values["crop_size"]) == (2, (128, 128))
    assert values["gradient_accumulation_steps"] == 4
    assert values["freeze_batchnorm"]


def test_photographs_of_12_megapixels_are_trained_on_in_large_crops():
    photographs = data(size=(3000, 4000), largest=(3000, 4000))
    tried, probe = trials_of(photographs, lambda *_: "")

    values = chosen(photographs, probe)

    assert tried == [(4, (416, 416))]
    # As many images per update as of small ones.
    assert (values["batch_size"], values["gradient_accumulation_steps"]) == (4, 2)


def test_a_machine_on_which_nothing_fits_is_told_so():
    tried, probe = trials_of(data(), lambda *_: FAILURE)

    assert tried[-1][0] == 2
    with pytest.raises(ValueError, match=r"fits the memory of 4 GiB. Tried: 8 of 288x288: more"):
        choose(data(), probe, {})


def test_given_batches_and_crops_are_tried_alone():
    tried, _ = trials_of(data(), lambda *_: FAILURE, batch_size=4, crop_size=(64, 96))

    assert tried == [(4, (64, 96))]


def test_steps_without_crops_are_tried_on_the_largest_image():
    whole = data(largest=(500, 600))
    tried, probe = trials_of(whole, lambda *_: "", crop_size=None, batch_size=2)

    assert tried == [(2, (500, 600))]
    assert chosen(whole, probe, crop_size=None, batch_size=2)["crop_size"] is None


@pytest.mark.parametrize("num_images", [1, 3, 5, 40, 400, 12_000])
def test_batches_are_powers_of_two_that_the_images_fill(num_images):
    batch, _ = next_trial(data(num_images=num_images), machine(), {})

    assert batch in (1, 2, 4, 8)
    assert batch <= num_images < 2 * batch or batch == 8


@pytest.mark.parametrize(
    ("size", "crop"),
    [((360, 480), (288, 288)), ((100, 480), (96, 288)), ((20, 40), (32, 32))],
)
def test_crops_are_multiples_of_32_within_the_images(size, crop):
    assert next_trial(data(size=size), machine(), {})[1] == crop


def test_thin_regions_get_skips_and_are_not_scaled_away():
    thin = chosen(data(("road", 0.99, 90.0), ("pole", 0.01, 3.0)))
    wide = chosen(data(("road", 0.6, 90.0), ("house", 0.4, 80.0)))

    assert (thin["skip_filters"], thin["upsampling"], thin["scale"]) == (64, "learned", (0.7, 1.7))
    assert (wide["skip_filters"], wide["upsampling"], wide["scale"]) == (0, "fixed", (0.5, 2.0))


def test_rare_classes_get_dice_and_weights():
    rare = chosen(data(("road", 0.99, 90.0), ("pole", 0.01, 3.0)))
    even = chosen(data(("road", 0.6, 90.0), ("house", 0.4, 80.0)))

    assert (rare["loss"], rare["class_weights"]) == ("crossentropy+dice", "balanced")
    assert (even["loss"], even["class_weights"]) == ("crossentropy", "none")


@pytest.mark.parametrize(
    ("name", "flip"),
    [
        ("left hand", False), ("arm_right", False), ("Left", False), ("lane-left-2", False),
        ("bright", True), ("cleft", True), ("righteous", True), ("car", True),
    ],
)  # fmt: skip
def test_classes_that_name_a_side_are_not_mirrored(name, flip):
    assert chosen(data(("road", 0.6, 90.0), (name, 0.4, 80.0)))["flip"] == flip


def test_images_without_colors_are_not_recolored():
    values = chosen(data(channels=5))

    assert (values["brightness"], values["contrast"], values["saturation"]) == (0, 0, 0)
    assert "brightness" not in chosen()


def test_epochs_follow_the_images_and_the_time():
    # 50 steps of a second an epoch; in 30 minutes 0.8 * 1800 / 50 = 28.8.
    assert chosen()["epochs"] == 75
    timed = chosen(time="30m")
    assert (timed["epochs"], timed["time"]) == (29, "30m")
    assert chosen(time="10h")["epochs"] == 75
    assert chosen(data(num_images=100_000))["epochs"] == 20


def test_warmup_and_averages_are_of_the_updates_that_fit_the_time():
    # 0.8 * 60 / 1 = 48 steps of a second; 50 make an epoch.
    short = chosen(time="1m")

    assert (short["epochs"], short["warmup_steps"], short["ema_decay"]) == (1, 2, None)
    long = chosen()
    assert (long["warmup_steps"], long["ema_decay"], long["batchnorm_batches"]) == (100, 0.99, 16)


def test_validation_takes_a_fifth_of_the_time():
    # 100 images of 0.1 s beside epochs of 50 s, and beside epochs of 5 s.
    assert chosen()["validate_every"] == 1
    often = chosen(probe=machine(*fits(seconds=0.1)))
    assert 10 / (5 * often["validate_every"]) <= 0.25
    assert often["patience"] % 1 == 0 and often["patience"] >= 3 * often["validate_every"]
    assert "validate_every" not in chosen(data(num_validation=0))


def test_few_images_keep_their_pretrained_features():
    assert chosen(data(num_images=40))["pretrained_factor"] == 0.3
    assert chosen(data(num_images=400))["pretrained_factor"] == 1.0


def test_a_network_without_pretrained_weights_keeps_its_batchnorm():
    probe = machine(fails(8), *fits(2), backbones=())

    assert chosen(probe=probe, backbone_weights=None)["freeze_batchnorm"] is False
    assert chosen(probe=machine(fails(8), *fits(2)))["freeze_batchnorm"] is True


def test_images_that_cannot_be_validated_and_copies_are_warned_of():
    train = Trial("train", 8, (288, 288), 1.0, 2.0)
    probe = machine(train, Trial("validate", 1, (3000, 4000), failure=FAILURE))

    plan = choose(data(("road", 1.0, 9.0), ("moon", 0.0, 0.0)), probe, {})

    assert any("3000x4000 pixels, the largest, does not fit" in text for text in plan.warnings)
    assert "No training image that was looked at contains moon." in plan.warnings


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda values: values.pop("settings"), "must be the JSON that `keras-fcn plan` writes"),
        (lambda values: values["settings"].update(epoch={"value": 1, "reason": ""}), "'epochs'"),
        (lambda values: values["settings"]["epochs"].update(value=0), "`epochs` must be at least"),
    ],
)
def test_files_that_are_no_plan_are_refused(change, message):
    values = json.loads(choose(data(), machine(*fits()), {}).to_json())
    change(values)

    with pytest.raises(ValueError, match=message):
        Plan.from_json(json.dumps(values))


def test_edited_values_are_followed():
    values = json.loads(choose(data(), machine(*fits()), {}).to_json())
    values["settings"]["epochs"]["value"] = 7

    assert Plan.from_json(json.dumps(values)).apply(Config()).run.epochs == 7


# === The machine ===


def test_backbones_are_those_whose_weights_are_here(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.delenv("KERAS_FCN_WEIGHTS", raising=False)
    monkeypatch.setattr("keras_fcn.weights.location._fetch", lambda _: 1 / 0)
    config = Config().replace(weights_dir=str(tmp_path))
    for name in ("mobilenet_1_0.25_notop.h5", "mobilenet_v2_0.5_notop.weights.h5"):
        (tmp_path / name).touch()

    assert plans._available(config, "CPU", {}) == (("mobilenet_v2", 0.5), ("mobilenet", 0.25))
    with pytest.raises(ValueError, match="weights of resnet50 were not found"):
        plans._available(config.replace(backbone="resnet50"), "CPU", {"backbone": "resnet50"})
    assert plans._available(config.replace(backbone_weights=None), "CPU", {}) == ()


def test_a_plan_is_made_with_trials_of_the_machine(monkeypatch, capsys):
    def tried(config, num_classes, channels, validation_size, limit_gib):
        assert (num_classes, channels, validation_size) == ({Heads.ONLY: 3}, 3, (40, 48))
        batch, crop = config.data.batch_size, config.data.crop_size
        return [Trial("train", batch, crop, 0.5, 1.0, "" if batch <= 2 else FAILURE)]

    monkeypatch.setattr(plans, "try_config", tried)
    given = {"dataset": "tiny", "backbone_weights": None}
    base = Config().replace(**given)

    plan = make_plan(base, given, tiny_dataset(), memory_gib=4.4)

    assert [trial.batch_size for trial in plan.probe.trials] == [8, 2]
    assert plan.probe.limit_gib == 4.0
    assert plan.apply(base).data.crop_size == (32, 32)
    assert "trying a step of 2 crops of 32x32" in capsys.readouterr().out


def small_config():
    return Config().replace(
        backbone="small_resnet", backbone_weights=None, crop_size=(32, 32), batch_size=2
    )


def test_steps_are_measured_in_a_process_of_their_own():
    train, validate = try_config(small_config(), {Heads.ONLY: 3}, 3, (40, 48), 8.0)

    assert (train.kind, train.batch_size, train.size, train.failure) == ("train", 2, (32, 32), "")
    assert (validate.kind, validate.size, validate.failure) == ("validate", (40, 48), "")
    for trial in (train, validate):
        assert 0 < trial.seconds < 60
        assert 0.1 < trial.gib < 8
        assert trial.seconds == float(f"{trial.seconds:.0e}")


def test_a_trial_beyond_the_limit_is_a_result():
    # The program alone needs more.
    (trial,) = try_config(small_config(), {Heads.ONLY: 3}, 3, (40, 48), 0.1)

    assert (trial.kind, trial.failure) == ("train", "more than 0.1 GiB")


def test_settings_that_no_trial_can_help_are_refused():
    config = small_config().replace(dropout=2.0)

    with pytest.raises(ValueError, match=r"`dropout` must be in \[0, 1\). Received: dropout=2"):
        try_config(config, {Heads.ONLY: 3}, 3, None, 8.0)


def test_the_machine_has_a_limit_of_one_digit():
    probe = probe_machine()

    assert probe.device in ("CPU", "GPU")
    assert probe.limit_gib == float(f"{probe.limit_gib:.0e}") > 0
    assert Probe.from_dict(json.loads(json.dumps(probe.to_dict()))) == probe
