"""Trainings on JAX, in processes of their own, compared with those on TensorFlow in this one."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from keras_fcn_train import backend, fit
from keras_fcn_train.callbacks.log import read_log
from keras_fcn_train.hosts import Hosts

from ..helpers import TinyWithBatchNorm, tiny_model
from .tiny_training import SPEC, tiny_config, tiny_dataset

jax = pytest.importorskip("jax", reason="needs the extra `hosts`")
pytestmark = pytest.mark.usefixtures("tiny_backbones")

# 20 steps: 5 epochs of 4.
SHORT = {"batch_size": 3, "epochs": 5, "dropout": 0.0, "schedule": "constant"}
COMPARED = {
    "adamw": {**SHORT, "learning_rate": 0.003, "pretrained_factor": 0.5, "weight_decay": 0.01},
    "sgd": {
        **SHORT, "optimizer": "sgd", "learning_rate": 0.05, "gradient_accumulation_steps": 2,
        "batchnorm_batches": 2, "class_weights": "balanced", "loss": "crossentropy+dice",
    },
}  # fmt: skip
# Dropout before BatchNorm, its measured statistics, and an update of two steps, between which the
# training is killed: after step 5, when step 4 (the first of the second epoch) was saved.
RESUMED = {
    "backbone": "tiny_dropout", "batchnorm_batches": 2, "gradient_accumulation_steps": 2,
    "warmup_steps": 2, "epochs": 2, "save_every": 4,
}  # fmt: skip


# The processes share what they compile.
ENVIRONMENT = {
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "JAX_COMPILATION_CACHE_DIR": str(Path(os.environ["XDG_CACHE_HOME"]) / "jax"),
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
}


def run_on_jax(*orders, **environment):
    """Runs `run_tiny.py` on JAX and returns the finished process."""
    script = Path(__file__).with_name("run_tiny.py")
    return subprocess.run(
        [sys.executable, str(script), json.dumps(orders)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **ENVIRONMENT, "KERAS_BACKEND": "jax", **environment},
    )


def start_on_hosts(port, *orders, **options):
    """Starts two hosts, each a process whose parent supervises it; returns the parents."""
    addresses = [f"127.0.0.1:{port}", f"127.0.0.1:{port + 1}"]
    script = Path(__file__).with_name("run_tiny.py")
    parents = []
    for index in range(2):
        mine = [
            # Only one of them sends itself the signal.
            {k: v for k, v in order.items() if k != "send" or order.get("on") == index}
            for order in orders
        ]
        mine[0] = {**mine[0], "hosts": addresses, "index": index}
        command = [sys.executable, str(script), json.dumps(mine)]
        code = f"""
from keras_fcn_cli.errors import Failure
from keras_fcn_cli.hosts import supervise
from keras_fcn_train.hosts import Hosts
try:
    supervise(Hosts({tuple(addresses)!r}, {index}), {str(options.get("workdir"))!r}, {command!r})
except Failure as error:
    error.show()
    raise SystemExit(1)
"""
        parents.append(
            subprocess.Popen(
                [sys.executable, "-c", code],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                env={**os.environ, **ENVIRONMENT},
            )
        )
    return parents


def free_port():
    """A port that is free, and the one after it most likely too."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("jax")


@pytest.fixture(scope="module")
def start(folder):
    """A file that trainings on both backends start from."""
    path = folder / "start.keras"
    # Another seed than the training, whose weights would be the same.
    tiny_model(3, backbone=TinyWithBatchNorm(), seed=1, scale=0.3, labels=SPEC).save(path)
    return path


@pytest.fixture(scope="module")
def killed(folder, start):
    """A process that trained as compared, then undisturbed, and was then killed."""
    process = run_on_jax(
        *(
            {"settings": {**settings, "init": str(start), "workdir": str(folder / name)}}
            for name, settings in COMPARED.items()
        ),
        {"settings": {**RESUMED, "workdir": str(folder / "undisturbed")}},
        {
            "settings": {**RESUMED, "workdir": str(folder / "killed")},
            "send": "SIGKILL",
            "at_step": 5,
        },
    )
    assert process.returncode == -signal.SIGKILL, process.stderr
    return process


@pytest.fixture(scope="module")
def on_tensorflow(folder, start, tiny_backbones):
    """The compared trainings on TensorFlow."""

    def train(name):
        settings = {**COMPARED[name], "init": str(start)}
        workdir = str(folder / f"{name} on tensorflow")
        return fit(tiny_config(**settings, workdir=workdir), tiny_dataset())

    return {name: train(name) for name in COMPARED}


@pytest.fixture(scope="module")
def resumed(folder, killed, on_tensorflow, start):
    """A process that went on with the killed training and one of TensorFlow, and tried others."""
    shutil.copytree(on_tensorflow["sgd"].workdir, folder / "to jax")
    process = run_on_jax(
        {"settings": {**COMPARED["sgd"], "init": str(start), "workdir": str(folder / "to jax"),
                      "resume": True, "epochs": 6}},
        {"settings": {**RESUMED, "workdir": str(folder / "killed"), "resume": True}},
        {"settings": {"workdir": str(folder / "time"), "time": "1s", "epochs": 500,
                      "validation_split": None}},
        {"settings": {"workdir": str(folder / "diverged"), "optimizer": "sgd",
                      "learning_rate": 1e30, "epochs": 9, "validation_split": None}},
        {"settings": {"workdir": str(folder / "devices"), "devices": ["CPU:0"]}},
    )  # fmt: skip
    assert process.returncode == 1, process.stderr
    return process


@pytest.mark.parametrize("name", COMPARED)
def test_twenty_steps_equal_those_of_tensorflow(name, killed, folder, on_tensorflow):
    expected = on_tensorflow[name]

    rows = read_log(folder / name / "log.csv")
    assert len(rows) == 5
    for row, expected_row in zip(rows, expected.log, strict=True):
        for quantity in ("loss", "val_loss", "learning_rate"):
            assert row[quantity] == pytest.approx(expected_row[quantity], abs=1e-4), quantity
        # Pixels of nearly equal logits may change sides.
        for quantity in ("mean_iou", "val_mean_iou"):
            assert row[quantity] == pytest.approx(expected_row[quantity], abs=1e-3), quantity
    # By the logits: an offset before BatchNorm has no gradient but rounding, which AdamW enlarges.
    image = next(iter(tiny_dataset().examples("val")))["image"].numpy()[None]
    logits, expected_logits = (
        np.asarray(keras.models.load_model(path)(image))
        for path in (folder / name / "last.keras", expected.last)
    )
    np.testing.assert_allclose(logits, expected_logits, atol=1e-4)
    assert np.ptp(expected_logits) > 0.1


def test_a_training_goes_on_on_the_other_backend(resumed, folder, start):
    shutil.copytree(folder / "sgd", folder / "to tensorflow")
    settings = {**COMPARED["sgd"], "init": str(start), "resume": True, "epochs": 6}

    fit(tiny_config(**settings, workdir=str(folder / "to tensorflow")), tiny_dataset())

    # The last epoch ran on the other backend each.
    assert resumed.stdout.startswith("fcn8s on tiny_batchnorm, tiny: 12 training images, 6 epochs")
    assert "with JAX. Resumed after 5 epochs and 0 steps." in resumed.stdout
    rows, other_rows = (read_log(folder / f"to {b}" / "log.csv") for b in ("jax", "tensorflow"))
    assert [row["epoch"] for row in rows] == [row["epoch"] for row in other_rows] == [*range(6)]
    for quantity in ("loss", "val_loss"):
        assert rows[-1][quantity] == pytest.approx(other_rows[-1][quantity], abs=1e-4), quantity


def test_a_file_of_jax_is_a_file_of_tensorflow(killed, folder):
    network = keras.models.load_model(folder / "sgd" / "best.keras")

    assert network.labels == SPEC
    assert network.origin["versions"]["jax"] == jax.__version__
    assert network.predict_on_batch(np.zeros((1, 33, 40, 3))).shape == (1, 33, 40, 3)


def test_a_training_on_jax_names_it(killed):
    assert "12 training images, 5 epochs of 4 steps, on CPU:0 with JAX." in killed.stdout


def test_training_after_sigkill_ends_as_an_undisturbed_one(resumed, folder):
    assert "Resumed after 1 epochs and 1 steps." in resumed.stdout
    for file in ("last.keras", "best.keras"):
        weights, expected = (
            keras.models.load_model(folder / name / file).get_weights()
            for name in ("killed", "undisturbed")
        )
        for weight, expected_weight in zip(weights, expected, strict=True):
            np.testing.assert_array_equal(weight, expected_weight)
    rows, expected_rows = (read_log(folder / n / "log.csv") for n in ("killed", "undisturbed"))
    for row, expected_row in zip(rows, expected_rows, strict=True):
        for name in set(expected_row) - {"images_per_second", "seconds", "val_seconds"}:
            assert row[name] == expected_row[name], name


def test_the_schedule_follows_the_time(resumed, folder):
    rows = read_log(folder / "time" / "log.csv")

    assert "epochs: 1s have passed (--time)." in resumed.stdout
    assert len(rows) < 500
    # By the 500 epochs alone it would still be at nearly 0.01.
    assert rows[-1]["learning_rate"] < 0.0095


def test_what_stops_a_training_is_said(resumed, folder):
    diverged, devices = resumed.stderr.strip().splitlines()[-2:]

    assert "at step" in diverged
    assert "Start a new one with a lower --learning-rate" in diverged
    assert not (folder / "diverged" / "best.keras").exists()
    assert "`devices` must be None on JAX, which finds its devices when it starts" in devices
    assert "CUDA_VISIBLE_DEVICES=0,1" in devices


@pytest.fixture(scope="module")
def on_hosts(folder, killed):
    """Two hosts that trained as the process before, which was alone; their outputs."""
    settings = {**RESUMED, "workdir": str(folder / "hosts")}
    parents = start_on_hosts(free_port(), {"settings": settings}, workdir=folder / "hosts")
    outputs = [parent.communicate() for parent in parents]
    assert [parent.returncode for parent in parents] == [0, 0], outputs
    return outputs


def test_two_hosts_train_to_the_weights_of_one(on_hosts, folder):
    (first, _), (second, _) = on_hosts

    assert "This is host 0 of 2, 127.0.0.1:" in first
    assert "2 epochs of 3 steps, on CPU:0, CPU:" in first
    # Only the first one tells of the training.
    assert "Epoch 1" not in second
    # The images have unequal numbers of valid pixels; BatchNorm and dropout are of whole batches.
    weights, expected = (
        keras.models.load_model(folder / name / "last.keras").get_weights()
        for name in ("hosts", "undisturbed")
    )
    for weight, expected_weight in zip(weights, expected, strict=True):
        np.testing.assert_allclose(weight, expected_weight, rtol=1e-4, atol=1e-6)
    rows, expected_rows = (read_log(folder / n / "log.csv") for n in ("hosts", "undisturbed"))
    assert len(rows) == len(expected_rows)
    for row, expected_row in zip(rows, expected_rows, strict=True):
        for name in ("loss", "val_loss", "learning_rate"):
            assert row[name] == pytest.approx(expected_row[name], rel=1e-5), name
        for name in ("mean_iou", "val_mean_iou", "val_pixel_accuracy"):
            assert row[name] == pytest.approx(expected_row[name], abs=1e-3), name


@pytest.mark.full
def test_a_lost_host_is_named_and_the_training_goes_on_exactly(on_hosts, folder):
    settings = {**RESUMED, "workdir": str(folder / "lost")}
    lost = {"settings": settings, "send": "SIGKILL", "at_step": 5, "on": 1}
    parents = start_on_hosts(free_port(), lost, workdir=folder / "lost")
    (_, first), (_, second) = (parent.communicate() for parent in parents)

    assert [parent.returncode for parent in parents] == [1, 1]
    assert "Error: Host 1 (127.0.0.1:" in first
    assert f"saved last, in {folder / 'lost'} on host 0, run the same command with --r" in first
    assert "Check failure stack trace" not in first
    assert "The training on this host was ended by SIGKILL (often because of" in second

    resumed = {"settings": {**settings, "resume": True}}
    parents = start_on_hosts(free_port(), resumed, workdir=folder / "lost")
    outputs = [parent.communicate() for parent in parents]
    assert [parent.returncode for parent in parents] == [0, 0], outputs
    assert "Resumed after 1 epochs and 1 steps." in outputs[0][0]
    weights, expected = (
        keras.models.load_model(folder / name / "last.keras").get_weights()
        for name in ("lost", "hosts")
    )
    for weight, expected_weight in zip(weights, expected, strict=True):
        np.testing.assert_array_equal(weight, expected_weight)


@pytest.mark.full
def test_the_command_trains_on_two_hosts(tmp_path):
    """On one of them Ctrl-C is pressed; then both go on."""
    port = free_port()

    def train(index, *options):
        return subprocess.Popen(
            [
                *(sys.executable, "-c", "from keras_fcn_cli.main import main; main()", "train"),
                *("--hosts", f"127.0.0.1:[{port}-{port + 1}]", "--host-index", str(index)),
                *("--dataset", "sample", "--backbone", "small_resnet", "--no-plan"),
                *("--backbone-weights", "none", "--crop", "64x64", "--limit", "64"),
                *("--validation-limit", "8", "--batch-size", "16", "--epochs", "2"),
                # The second one's is never made.
                *("--workdir", str(tmp_path / ("run" if index == 0 else "other")), *options),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **ENVIRONMENT, "PYTHONUNBUFFERED": "1"},
        )

    hosts = [train(0), train(1)]
    for line in hosts[0].stdout:
        if line.startswith("Epoch 1"):
            break
    hosts[1].send_signal(signal.SIGTERM)
    outputs = [host.communicate() for host in hosts]
    assert [host.returncode for host in hosts] == [1, 1], outputs
    for _, error in outputs:
        assert "and saved. To continue, run the same command with --resume" in error
        assert "was lost" not in error

    hosts = [train(index, "--resume") for index in range(2)]
    outputs = [host.communicate() for host in hosts]
    assert [host.returncode for host in hosts] == [0, 0], outputs
    assert "Resumed after 0 epochs" in outputs[0][0]
    assert "Best epoch" in outputs[0][0]
    assert "Host 1 has finished. The files are on host 0." in outputs[1][0]
    assert (tmp_path / "run" / "best.keras").is_file()
    assert not (tmp_path / "other").exists()


@pytest.mark.full
def test_two_devices_train_to_the_numbers_of_one(tmp_path):
    # BatchNorm's statistics and dropout are those of the whole batch, unlike with TensorFlow's.
    settings = {"gradient_accumulation_steps": 2, "epochs": 2}
    one = run_on_jax({"settings": {**settings, "workdir": str(tmp_path / "one")}})
    two = run_on_jax(
        {"settings": {**settings, "workdir": str(tmp_path / "two")}},
        {"settings": {**settings, "workdir": str(tmp_path / "odd"), "batch_size": 3}},
        XLA_FLAGS="--xla_force_host_platform_device_count=2",
    )

    assert one.returncode == 0, one.stderr
    assert "on CPU:0, CPU:1 with JAX." in two.stdout
    assert "must be a multiple of their number. Received: batch_size=3 with 2" in two.stderr
    for weight, expected in zip(
        *(
            keras.models.load_model(tmp_path / name / "last.keras").get_weights()
            for name in ("two", "one")
        ),
        strict=True,
    ):
        np.testing.assert_allclose(weight, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.full
def test_a_training_is_stopped_by_patience_and_by_ctrl_c(tmp_path):
    process = run_on_jax(
        {"settings": {"workdir": str(tmp_path / "patience"), "patience": 1, "learning_rate": 1e-9}},
        {"settings": {"workdir": str(tmp_path / "stopped")}, "send": "SIGINT", "at_step": 4},
    )

    assert "in 1 epochs (--patience)." in process.stdout
    assert len(read_log(tmp_path / "patience" / "log.csv")) == 2
    assert "Stopped after 1 epochs and 1 steps, and saved." in process.stderr


@pytest.mark.full
@pytest.mark.timeout(1200)
def test_recipes_smoke(tmp_path):
    """One of each kind: two heads, LRN, grouped convolutions, depth, two streams, at-once."""
    names = (
        *("camvid_mobilenet_v2", "fcn16s_vgg16_siftflow", "fcn32s_googlenet_voc"),
        *("fcn32s_alexnet_voc", "fcn32s_vgg16_nyud_color_depth", "fcn32s_vgg16_nyud_color_hha"),
        "fcn8s_atonce_vgg16_voc",
    )
    code = f"""
import keras_fcn_train
for name in {names!r}:
    config = keras_fcn_train.load_recipe(name)
    config = config.replace(smoke=True, workdir={str(tmp_path)!r} + "/" + name)
    assert keras_fcn_train.fit(config).best.is_file()
"""
    process = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "KERAS_BACKEND": "jax"},
    )

    assert process.returncode == 0, process.stderr


def test_other_backends_are_refused(monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "torch")

    with pytest.raises(ValueError, match="runs on tensorflow or jax; Keras runs on 'torch' here"):
        backend.check_backend()


def test_several_hosts_need_jax(tmp_path):
    config = tiny_config(workdir=str(tmp_path / "run"))

    with pytest.raises(ValueError, match="several hosts runs on jax; Keras runs on 'tensorflow'"):
        fit(config, tiny_dataset(), hosts=Hosts(("a:1", "b:1")))
