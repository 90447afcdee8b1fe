"""What a machine can do: memory and seconds of training steps, tried in processes of their own.

A trial that needs more memory than the limit ends its process, not the program: that is its
result. This module is the parent and, run by `python -m`, the child.
"""

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .config import Config

# A share of the free memory stays free: for the data, and for other programs.
_SHARE = 0.8
_GIB = 2**30
_TIMEOUT = 300
_NUM_STEPS = 3


@dataclass(frozen=True)
class Trial:
    """The result of a trial, rounded, so that two probes of a machine are alike.

    Args:
        kind: `"train"` for a step of a training, `"validate"` for a prediction.
        batch_size: Images.
        size: Their height and width.
        seconds: Duration, one digit; 0 if it failed.
        gib: Largest memory of the process in GiB, two digits; 0 if it failed.
        failure: Why it failed; "" if it did not.
    """

    kind: str
    batch_size: int
    size: tuple[int, int]
    seconds: float = 0.0
    gib: float = 0.0
    failure: str = ""


@dataclass(frozen=True)
class Probe:
    """What was found out about a machine.

    Args:
        device: `"CPU"` or `"GPU"`.
        cores: Processor cores.
        limit_gib: The memory that a trial may take, in GiB, one digit.
        backbones: Backbones whose ImageNet weights were found, with their widths.
        trials: The trials, in their order.
    """

    device: str
    cores: int
    limit_gib: float
    backbones: tuple[tuple[str, float | None], ...] = ()
    trials: tuple[Trial, ...] = ()

    def trials_of(self, kind: str) -> tuple[Trial, ...]:
        """Returns the trials of a kind."""
        return tuple(trial for trial in self.trials if trial.kind == kind)

    def to_dict(self) -> dict[str, Any]:
        """Returns what `from_dict` reads back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Probe":
        """Returns the probe that `to_dict` returned, also from JSON."""
        trials = tuple(Trial(**{**one, "size": tuple(one["size"])}) for one in values["trials"])
        backbones = tuple((name, alpha) for name, alpha in values["backbones"])
        return cls(**{**values, "backbones": backbones, "trials": trials})


def probe_machine(memory_gib: float | None = None) -> Probe:
    """Returns what needs no trial: the device, its cores, and the limit of memory.

    Args:
        memory_gib: The limit; by default a share of the memory that is free now.
    """
    # Before this process uses a GPU, whose whole memory it would take, with none for the trials.
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    gpus = _gpus()
    free = memory_gib or _SHARE * _free_gib()
    return Probe("GPU" if gpus else "CPU", os.cpu_count() or 1, float(f"{free:.0e}"))


def try_config(
    config: Config,
    num_classes: Mapping[str, int],
    channels: int,
    validation_size: tuple[int, int] | None,
    limit_gib: float,
) -> list[Trial]:
    """Runs some training steps, and a prediction, in a process of its own.

    Args:
        config: The settings: network, batch and crop.
        num_classes: By head.
        channels: Channels of the images.
        validation_size: Size of the image that is predicted; `None` for none.
        limit_gib: The memory of the process that ends it, in GiB.

    Returns:
        One trial for the training, and one for the prediction if there is one.

    Raises:
        ValueError: If the settings contradict each other.
    """
    order = {
        "config": config.to_dict(),
        "num_classes": dict(num_classes),
        "channels": channels,
        "validation_size": validation_size,
    }
    expected = [("train", config.data.batch_size, config.data.crop_size or (0, 0))]
    if validation_size:
        expected.append(("validate", 1, validation_size))
    lines, failure = _run_child(order, limit_gib)
    trials = []
    for kind, batch_size, size in expected:
        result = lines.get(kind)
        if result is None:
            # What comes after a trial that ended its process was not tried.
            trials.append(Trial(kind, batch_size, size, failure=failure))
            break
        seconds, gib = float(f"{result['seconds']:.0e}"), float(f"{result['gib']:.1e}")
        trials.append(Trial(kind, batch_size, size, seconds, gib))
    return trials


def _run_child(order: dict[str, Any], limit_gib: float) -> tuple[dict[str, Any], str]:
    """Returns the lines that the child printed, by kind, and why it ended before its end."""
    process = subprocess.Popen(
        [sys.executable, "-m", "keras_fcn_train.probe", json.dumps(order)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={
            **os.environ,
            "TF_FORCE_GPU_ALLOW_GROWTH": "true",
            "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
            "TF_CPP_MIN_LOG_LEVEL": "3",
        },
    )
    failure = ""
    begin = time.monotonic()
    while process.poll() is None:
        if _resident_gib(process.pid) > limit_gib:
            failure = f"more than {limit_gib:g} GiB"
        elif time.monotonic() - begin > _TIMEOUT:
            failure = f"more than {_TIMEOUT} seconds"
        if failure:
            process.kill()
            break
        time.sleep(0.05)
    out, error = process.communicate()
    results = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
    if not failure and process.returncode:
        failure = _cause(process.returncode, error)
    return {result["kind"]: result for result in results}, failure


def _cause(returncode: int, error: str) -> str:
    if returncode < 0:
        return f"ended by signal {-returncode}"
    if "ResourceExhausted" in error or "out of memory" in error.lower():
        return "the memory of the device"
    lines = error.strip().splitlines()
    if lines and lines[-1].startswith("ValueError: "):  # which a smaller batch does not help
        raise ValueError(lines[-1].removeprefix("ValueError: "))
    return lines[-1][:200] if lines else f"exit status {returncode}"


def _resident_gib(pid: int) -> float:
    """Returns the memory of a process; 0 where the system does not tell."""
    with suppress(OSError, IndexError, ValueError):
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        return pages * resource.getpagesize() / _GIB
    return 0.0


def _free_gib() -> float:
    """Returns the free memory of this machine, or of the container that it is."""
    free = [_number_in(Path("/proc/meminfo"), "MemAvailable:") * 1024]
    for limit, used in (
        ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
        (
            "/sys/fs/cgroup/memory/memory.limit_in_bytes",
            "/sys/fs/cgroup/memory/memory.usage_in_bytes",
        ),
    ):
        with suppress(OSError, ValueError):
            free.append(int(Path(limit).read_text()) - int(Path(used).read_text()))
    known = [value for value in free if value > 0]
    return min(known, default=8 * _GIB) / _GIB


def _number_in(path: Path, key: str) -> int:
    with suppress(OSError, StopIteration, ValueError):
        lines = path.read_text().splitlines()
        return int(next(line for line in lines if line.startswith(key)).split()[1])
    return 0


def _gpus() -> list[Any]:
    from .backend import is_jax

    if is_jax():
        import jax

        return [device for device in jax.devices() if device.platform == "gpu"]
    import tensorflow as tf

    found: list[Any] = tf.config.list_physical_devices("GPU")
    return found


# === The child ===


def _child(order: dict[str, Any]) -> None:
    """Tries a configuration, and prints a line of JSON as soon as a result is there."""
    with suppress(OSError):
        # If the system runs out of memory, it ends this process first.
        Path("/proc/self/oom_score_adj").write_text("1000")
    from .devices import keep_data_off_gpus, keep_freed_memory

    keep_freed_memory()
    keep_data_off_gpus()
    import numpy as np

    from keras_fcn.labels import Heads, LabelSpec

    from .heads import compile_heads, head_losses, head_metrics
    from .model import build_backbone, build_network
    from .optimizers import build_optimizer

    config = Config.from_dict(order["config"])
    specs = {head: LabelSpec.numbered(n) for head, n in order["num_classes"].items()}
    heads = Heads(specs.get(Heads.ONLY, specs))
    channels = order["channels"]
    is_named = channels == 3 or config.model.modalities
    bands = None if is_named else ((0.0,) * channels, (1.0,) * channels)
    network = build_network(config.model, build_backbone(config.backbone), heads, bands)
    optimizer = build_optimizer(config.optimizer, 10**6, network.trainable_variables)
    losses = head_losses(heads, config.loss.name, config.loss.reduction)
    compile_heads(network, heads, losses, head_metrics(heads), optimizer=optimizer)
    size = config.data.crop_size
    assert size
    shape = (config.data.batch_size, *size)
    images = np.random.default_rng(0).integers(0, 256, (*shape, channels))
    images = images.astype("uint8" if channels == 3 else "float32")
    labels = heads.unwrapped({head: np.zeros(shape, "uint8") for head in heads})
    times = []
    for _ in range(1 + _NUM_STEPS * config.optimizer.gradient_accumulation_steps):
        begin = time.monotonic()
        network.train_on_batch(images, labels)
        times.append(time.monotonic() - begin)
    # The first step builds the function.
    _report("train", min(times[1:]))
    if order["validation_size"]:
        import tensorflow as tf

        from .evaluation_model import EvaluationModel

        shape = (1, *order["validation_size"])
        image = np.zeros((*shape, channels), images.dtype)
        label = heads.unwrapped({head: np.zeros(shape, "uint8") for head in heads})
        batches = tf.data.Dataset.from_tensors((image, label))
        evaluation_model = EvaluationModel(network, heads, loss=config.loss.name)
        times = []
        for _ in range(2):
            begin = time.monotonic()
            evaluation_model.evaluate(batches)
            times.append(time.monotonic() - begin)
        _report("validate", times[1])


def _report(kind: str, seconds: float) -> None:
    gib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / _GIB
    if gpus := _gpus():
        from .backend import is_jax

        if is_jax():
            peak = gpus[0].memory_stats()["peak_bytes_in_use"]
        else:
            import tensorflow as tf

            peak = tf.config.experimental.get_memory_info(gpus[0].name.split(":", 1)[1])["peak"]
        gib = peak / _GIB
    print(json.dumps({"kind": kind, "seconds": seconds, "gib": gib}), flush=True)


if __name__ == "__main__":
    _child(json.loads(sys.argv[1]))
