"""The devices that a training runs on."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import tensorflow as tf

from .config import Config


class Devices:
    """One device, or several that each compute a part of every batch.

    Args:
        config: `devices` names them; by default all GPUs, else the CPU.

    Raises:
        ValueError: If a device does not exist, or the settings do not fit several.
    """

    def __init__(self, config: Config) -> None:
        names = _checked_names(config.devices)
        self.strategy: Any = None
        if len(names) > 1:
            _check_several(config, len(names))
            self.strategy = tf.distribute.MirroredStrategy(names)
        elif config.devices:
            self.strategy = tf.distribute.OneDeviceStrategy(names[0])
        self.names = tuple(name.removeprefix("/") for name in names)

    def scope(self) -> AbstractContextManager[Any]:
        """Returns the context to build the network and its optimizer in."""
        return self.strategy.scope() if self.strategy else nullcontext()


def _checked_names(wanted: tuple[str, ...] | None) -> list[str]:
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
            f"`devices` must be different ones of {', '.join(found)}. Received: devices={wanted}."
        )
    return [f"/{name}" for name in names]


def _check_several(config: Config, count: int) -> None:
    if config.accumulate > 1:
        raise ValueError(
            f"`accumulate` needs a single device, because Keras cannot accumulate gradients over "
            f"several. Received: accumulate={config.accumulate} with {count} devices. Name one "
            "in `devices`, or take a larger `batch_size`: the devices share it."
        )
    if config.batch_size % count:
        raise ValueError(
            "`batch_size` counts the images of all devices together, so it must be a multiple of "
            f"their number. Received: batch_size={config.batch_size} with {count} devices."
        )
