"""The devices that a training runs on, and their memory."""

import os
from collections import Counter
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import Any

import keras
import tensorflow as tf

from .backend import is_jax


class Devices:
    """One device, or several that each compute a part of every batch.

    On TensorFlow the devices are those that are wanted, by default all GPUs, else the CPU. On JAX
    they are all that JAX found when it started, those of all hosts: GPUs, else the CPU.

    Args:
        wanted: Their names, such as `GPU:0`, on TensorFlow.
        batch_size: Images per step, which several devices share.
        gradient_accumulation_steps: Steps whose gradients are averaged; several devices cannot on
            TensorFlow.

    Attributes:
        names: Their names.

    Raises:
        ValueError: If a device does not exist, or the other arguments do not fit several.
    """

    def __init__(
        self,
        wanted: Sequence[str] | None = None,
        *,
        batch_size: int,
        gradient_accumulation_steps: int = 1,
    ) -> None:
        # Several devices: a strategy of TensorFlow, or a distribution of Keras.
        self.strategy: Any = None
        self.distribution: Any = None
        if is_jax():
            _check_not_wanted(wanted)
            names = keras.distribution.list_devices()
            if len(names) > 1:
                _check_equal_hosts()
                _check_batch_size(len(names), batch_size)
                self.distribution = keras.distribution.DataParallel(
                    devices=names, auto_shard_dataset=False
                )
            names = [name.upper() for name in names]
        else:
            names = _checked_names(wanted)
            if len(names) > 1:
                _check_several(len(names), batch_size, gradient_accumulation_steps)
                self.strategy = tf.distribute.MirroredStrategy(names)
            elif wanted:
                self.strategy = tf.distribute.OneDeviceStrategy(names[0])
        self.names = tuple(name.removeprefix("/") for name in names)

    def scope(self) -> AbstractContextManager[Any]:
        """Returns the context to build the network and its optimizer in."""
        return self.strategy.scope() if self.strategy else self.run_scope()

    def run_scope(self) -> AbstractContextManager[Any]:
        """Returns the context to run the training in."""
        return self.distribution.scope() if self.distribution else nullcontext()


def keep_data_off_gpus() -> None:
    """Leaves the GPUs to JAX; TensorFlow, which reads the data, would take their memory."""
    if is_jax():
        with suppress(RuntimeError):  # it runs already
            tf.config.set_visible_devices([], "GPU")


def be_deterministic() -> None:
    """Uses only kernels with reproducible results.

    Raises:
        ValueError: If they must be chosen before the program starts.
    """
    if not is_jax():
        tf.config.experimental.enable_op_determinism()
        return
    flag = "--xla_gpu_deterministic_ops=true"
    on_gpus = not keras.distribution.list_devices()[0].startswith("cpu")
    if on_gpus and flag not in os.environ.get("XLA_FLAGS", ""):
        raise ValueError(
            "`deterministic` needs kernels that JAX chooses when it starts. Set "
            f"XLA_FLAGS={flag} in the environment before the program starts."
        )


def keep_freed_memory() -> None:
    """Makes TensorFlow keep freed memory on the CPU; call it before the first operation.

    By default the C library returns large buffers to the system at every step and requests them
    again, which took up to a third of a step's time. TensorFlow's own allocator, which GPUs
    always use, keeps them. `TF_CPU_ALLOCATOR_USE_BFC=0` in the environment switches it off.
    """
    os.environ.setdefault("TF_CPU_ALLOCATOR_USE_BFC", "1")


def _check_equal_hosts() -> None:
    import jax

    numbers = Counter(device.process_index for device in jax.devices())
    if len(set(numbers.values())) > 1:
        listed = ", ".join(f"{number} on host {host}" for host, number in sorted(numbers.items()))
        raise ValueError(
            f"All hosts must have equally many devices. They have {listed}. Choose equally many by "
            "CUDA_VISIBLE_DEVICES, or JAX_PLATFORMS=cpu, in the environment."
        )


def _check_not_wanted(wanted: Sequence[str] | None) -> None:
    if wanted:
        raise ValueError(
            "`devices` must be None on JAX, which finds its devices when it starts and uses them "
            f"all. Received: devices={','.join(wanted)}. Choose them in the environment instead: "
            "CUDA_VISIBLE_DEVICES=0,1 for GPUs, JAX_PLATFORMS=cpu for the CPU."
        )


def _checked_names(wanted: Sequence[str] | None) -> list[str]:
    found = {
        device.name.removeprefix("/device:"): device
        for kind in ("GPU", "CPU")
        for device in tf.config.list_logical_devices(kind)
    }
    if wanted is None:
        gpus = [name for name in found if name.startswith("GPU")]
        return [f"/{name}" for name in gpus or ["CPU:0"]]
    names = [name.removeprefix("/").removeprefix("device:").upper() for name in wanted]
    unknown = [name for name in names if name not in found]
    if unknown or len(set(names)) < len(names):
        raise ValueError(
            f"`devices` must be different devices among {', '.join(found)}. "
            f"Received: devices={wanted}."
        )
    return [f"/{name}" for name in names]


def _check_several(count: int, batch_size: int, gradient_accumulation_steps: int) -> None:
    if gradient_accumulation_steps > 1:
        raise ValueError(
            "`gradient_accumulation_steps` needs a single device, because Keras cannot accumulate "
            "gradients over several. Received: gradient_accumulation_steps="
            f"{gradient_accumulation_steps} with {count} devices. Name one in `devices`, or take "
            "a larger `batch_size`: the devices share it."
        )
    _check_batch_size(count, batch_size)


def _check_batch_size(count: int, batch_size: int) -> None:
    if batch_size % count:
        raise ValueError(
            "`batch_size` counts the images of all devices together, so it must be a multiple of "
            f"their number. Received: batch_size={batch_size} with {count} devices."
        )
