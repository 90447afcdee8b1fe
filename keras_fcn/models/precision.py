"""Networks that hold their weights in half the memory."""

from pathlib import Path
from typing import Any, Literal, get_args

from keras_fcn.models.fcn import FCN

Precision = Literal["float32", "bfloat16"]
# What Linux calls the instructions that multiply bfloat16: on Intel and AMD, and on ARM.
_BFLOAT16_FLAGS = {"avx512_bf16", "amx_bf16", "avx_ne_convert", "bf16"}


def with_precision(model: FCN, precision: Precision) -> FCN:
    """Returns the network with weights and features in another precision; scores stay float32.

    Sums of scores and the normalization of images are in float32 whatever the
    precision, so that the arg max over nearly equal classes keeps its worth. In
    bfloat16 the weights take half the memory, and no cast is left for the time
    of a call, as `mixed_bfloat16` has it: on a processor with bfloat16
    instructions twice as fast, on another one as fast as float32.

    Args:
        model: The network. It stays as it is.
        precision: `"float32"` or `"bfloat16"`.

    Returns:
        The network, to predict with: `fit` would lose small steps in bfloat16.

    Raises:
        ValueError: If `precision` is no such name, or the model is not an `FCN`.

    Example:
        >>> import keras_fcn
        >>> model = keras_fcn.FCN8s(3, backbone="mobilenet_v2", alpha=0.35)
        >>> with_precision(model, "bfloat16").weights[0].dtype
        'bfloat16'
    """
    if precision not in get_args(Precision):
        raise ValueError(
            f'`precision` must be "float32" or "bfloat16". Received: precision={precision!r}.'
        )
    if not isinstance(model, FCN):
        raise ValueError(
            "Only an `FCN` can be rebuilt in another precision. Received: "
            f"{getattr(model, 'name', model)!r}, a {type(model).__name__}."
        )
    config = {**model.get_config(), "dtype": precision}
    config["backbone"] = _in_precision(config["backbone"], precision)
    copy = type(model).from_config(config)
    copy.set_weights(model.get_weights())
    return copy


def _in_precision(config: Any, precision: Precision) -> Any:
    """Returns a serialized backbone of the user's whose layers have another dtype policy."""
    if isinstance(config, list):
        return [_in_precision(part, precision) for part in config]
    if not isinstance(config, dict):
        return config
    if config.get("class_name") == "DTypePolicy":
        return {**config, "config": {**config["config"], "name": precision}}
    return {name: _in_precision(part, precision) for name, part in config.items()}


def has_bfloat16_instructions(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool | None:
    """Returns whether the processor multiplies bfloat16; None where the system does not tell."""
    try:
        lines = cpuinfo.read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    flags = {flag for line in lines if line.lower().startswith(("flags", "features"))
             for flag in line.split()}  # fmt: skip
    return bool(flags & _BFLOAT16_FLAGS) if flags else None
