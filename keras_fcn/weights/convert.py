"""Caffe's and PyTorch's weights into Keras models."""

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_fcn.layers.normalization import ImageNormalization
from keras_fcn.modalities import MODALITIES
from keras_fcn.weights.adapt import (
    FOLDABLE_MODES,
    extend_input_channels,
    fold_normalization,
    widen_to_bands,
)
from keras_fcn.weights.caffe import open_caffemodel
from keras_fcn.weights.means import Mean, choose_mean, find_published
from keras_fcn.weights.published import WeightCard
from keras_fcn.weights.pytorch import open_state_dict
from keras_fcn.weights.source import (
    Shape,
    SourceLayer,
    StoredTensor,
    WeightFile,
    WeightFileError,
)

READERS: dict[str, Callable[[str | Path], WeightFile]] = {
    ".caffemodel": open_caffemodel,
    ".pth": open_state_dict,
    ".pt": open_state_dict,
    ".safetensors": open_state_dict,
}

# The names of convolutions and of fully connected layers.
_CONVOLUTIONS = re.compile("conv|fc|score|upscore|inception|loss")


@dataclass(frozen=True)
class ConversionReport:
    """Which layers of a model a weight file filled, and which not.

    Args:
        source: The file.
        loaded: Layers of the model that got their weights, or would if the others fitted.
        kept: Score and upsampling layers that kept their weights, because the file is a
            classifier's.
        missing: Layers of the model that the file does not contain, with their shapes.
        mismatched: Layers that differ: the shapes in the model and in the file.
        extra: Layers of the file that the model does not have.
        notes: Notes on the result, such as another normalization.
    """

    source: Path
    loaded: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    mismatched: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def fits(self) -> bool:
        """Whether nothing is missing and nothing has another shape."""
        return not self.missing and not self.mismatched

    def __str__(self) -> str:
        verb = "loaded" if self.fits else "fit"
        lines = [f"{self.source}: {len(self.loaded)} layers {verb}"]
        for title, entries in (
            ("Missing in the file", self.missing),
            ("Of another shape", self.mismatched),
            ("Kept as the model had them", self.kept),
            ("Not used from the file", self.extra),
            ("Note", self.notes),
        ):
            if entries:
                lines.append(f"{title}:")
                lines += [f"  {entry}" for entry in entries]
        return "\n".join(lines)


def open_weight_file(path: str | Path) -> WeightFile:
    """Opens a `.caffemodel`, `.pth`, `.pt` or `.safetensors` file, without reading its tensors.

    Raises:
        FileNotFoundError: If there is no such file.
        WeightFileError: If it is cut short, damaged, or of another kind.
        ValueError: If its suffix is none of these.
    """
    path = Path(path)
    if path.suffix not in READERS:
        raise ValueError(
            f"A weight file must end in {', '.join(READERS)}. Received: {str(path)!r}. "
            "Keras' own files are read by `keras.saving.load_model`."
        )
    if not path.is_file():
        raise FileNotFoundError(f"There is no weight file {str(path)!r}.")
    source = READERS[path.suffix](path)
    if source.input_layer not in source.layers:
        raise WeightFileError(
            f"{str(path)!r} must contain {source.input_layer}, the layer that takes the image. "
            f"Received: {', '.join(source.layers) or 'no layer'}. The file is damaged, or of "
            "another network."
        )
    for name, layer in source.layers.items():
        if _CONVOLUTIONS.match(name):
            _check_shape(source, layer)
    return source


def _check_shape(source: WeightFile, layer: SourceLayer) -> None:
    """Raises WeightFileError if a convolution has weights that are none of a convolution."""
    shape = layer.weight.shape
    if len(shape) not in (2, 4) or 0 in shape:
        raise WeightFileError(
            f"The weight of {layer.name!r} in {str(source.path)!r} must have the axes (out, in, "
            f"height, width), or (out, in) of a fully connected layer. Received: shape {shape}. "
            "The file is damaged, or of another network."
        )


def load_weight_file(model: keras.Model, path: str | Path) -> ConversionReport:
    """Fills a network from a weight file of Caffe's or PyTorch's.

    No file contains the mean that its network subtracts from the images. It follows from the
    file's checksum, name, classes and modalities, and becomes the model's, unless the backbone
    names one.

    Args:
        model: The network, built for the classes and the backbone of the file.
        path: A `.caffemodel`, `.pth`, `.pt` or `.safetensors` file: a network of
            fcn.berkeleyvision.org or of wkentaro/pytorch-fcn, or an ImageNet
            classifier (VGG16, CaffeNet, GoogLeNet) to start training from.

    Returns:
        Which layers were loaded, and which layers of the file were not used.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is damaged or does not fit, or its mean is neither known nor given;
            the model is unchanged then.
    """
    return fill_network(model, open_weight_file(path))


def fill_network(
    model: keras.Model, source: WeightFile, card: WeightCard | None = None
) -> ConversionReport:
    """Does what `load_weight_file` does with an opened file.

    Args:
        model: The network to fill. One that is not an `FCN` keeps its mean.
        source: From `open_weight_file`.
        card: The card of the file, if it was downloaded by it.

    Raises:
        ValueError: As for `load_weight_file`.
    """
    backbone = getattr(model, "backbone", None)
    if backbone is None:
        return assign_weights(model, source)
    _fitting_plan(model, source)
    num_classes = None if source.is_classifier else model.num_classes
    published = (card, "the file was downloaded by that name") if card else None
    published = published or find_published(source, num_classes)
    inputs = model.modalities or ("rgb",)
    if published and not source.is_classifier and published[0].inputs != inputs:
        raise ValueError(
            f"{str(source.path)!r} is for images of {', '.join(published[0].inputs)}: "
            f"{published[1]}. Received: a network for {', '.join(inputs)}. Build it with "
            f"modalities={published[0].inputs}."
        )
    if source.is_classifier and (model.modalities or backbone.normalization == "standardize"):
        return assign_weights(model, source)  # trained on RGB alone
    mean = choose_mean(source, num_classes, model.modalities, published, backbone.mean)
    return assign_weights(model, source, mean)


def assign_weights(
    model: keras.Model, source: WeightFile, mean: Mean | None = None
) -> ConversionReport:
    """Fills a model from an opened weight file, one tensor at a time.

    All names and shapes are compared before the first tensor is read, so that
    a model is either filled or unchanged. The score and upsampling layers may be
    missing from a classifier's file only.

    A classifier that was trained on other inputs than the model's
    `ImageNormalization` makes (for example torchvision's on RGB, the model on BGR)
    has the difference folded into its first convolution. That is exact where
    the convolution does not reach into the padding, which is zero after
    normalization and so stands for another color than in training. For an exact
    result, build the model with the file's normalization.

    Args:
        model: The network to fill.
        source: From `open_weight_file`.
        mean: For an `FCN`: what it subtracts from the images from now on; None leaves that as it
            is.

    Returns:
        Which layers were loaded, and which layers of the file were not used.

    Raises:
        ValueError: If a layer is missing or has another shape; all are listed.
    """
    readers, report = _readers(model, source, mean)
    for layer, read in readers:
        for variable, values in zip((layer.kernel, layer.bias), read(), strict=False):
            variable.assign(values)
    return report


def fill_when_saved(
    model: keras.Model, source: WeightFile, mean: Mean | None = None
) -> ConversionReport:
    """Lets `model.save` write the weights of a file in place of those of a model.

    They go from file to file, one tensor in memory at a time. If the model was built in
    `keras.StatelessScope(initialize_variables=False)` and is saved there, it has no weights of its
    own in memory either.

    Args:
        model: The network, whose weights stay as they are.
        source: As for `assign_weights`.
        mean: As for `assign_weights`.

    Returns:
        As `assign_weights`.

    Raises:
        ValueError: As for `assign_weights`.
    """
    readers, report = _readers(model, source, mean)
    for layer, read in readers:
        # Keras' documented place to decide what is saved of a layer, here of this one.
        layer.save_own_variables = partial(_save, layer, layer.save_own_variables, read)
    return report


class _NextArray:
    """The next of some arrays for NumPy, which makes no copy of it."""

    def __init__(self, arrays: Iterator[np.ndarray]) -> None:
        self.arrays = arrays

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return next(self.arrays)


def _save(
    layer: Any, save_own_variables: Callable[[Any], None], read: "_Reader", store: Any
) -> None:
    own: dict[str, Any] = {}
    save_own_variables(own)
    names = {id(variable): name for name, variable in own.items()}
    tensors = read()
    for variable in (layer.kernel, layer.bias):
        if variable is not None:
            store[names[id(variable)]] = _NextArray(tensors)


# Reads the kernel of a layer, then its bias if it has one.
_Reader = Callable[[], Iterator[np.ndarray]]


def _readers(
    model: keras.Model, source: WeightFile, mean: Mean | None
) -> tuple[list[tuple[Any, _Reader]], ConversionReport]:
    """Checks a file and sets the mean; returns how each layer that it fills is read."""
    plan, report = _fitting_plan(model, source)
    _check_finite(plan, source)
    if mean is not None:
        # Before the normalization is folded, which needs the mean of the file.
        model.set_mean(mean.values)
        report = replace(report, notes=(*report.notes, f"mean of the images {mean}"))
    normalization = _other_normalization(model, source)
    first = source.layers.get(source.input_layer)
    readers: list[tuple[Any, _Reader]] = [
        (layer, partial(_read, layer, stored, source, normalization if stored is first else None))
        for layer, stored in plan
    ]
    return readers, report


def _read(
    layer: Any, stored: SourceLayer, source: WeightFile, normalization: ImageNormalization | None
) -> Iterator[np.ndarray]:
    """Reads the kernel of a layer, then its bias; of the first one for other images if needed."""
    kernel = _to_keras(stored.weight, layer)
    bias = None if stored.bias is None else stored.bias.read().reshape(-1)
    if normalization is not None and normalization.mode == "standardize":
        kernel = widen_to_bands(kernel, layer.kernel.shape[2], source.normalization)
    elif normalization is not None and bias is not None:
        kernel, bias = fold_normalization(
            kernel, bias, source.normalization, normalization.mode, normalization.mean
        )
    if kernel.shape[2] < layer.kernel.shape[2]:
        kernel = extend_input_channels(kernel, layer.kernel.shape[2])
    yield kernel
    if bias is not None:
        yield bias


def reference_name(layer_name: str) -> str:
    """Returns what the reference calls a layer of ours.

    >>> reference_name("block1_conv2"), reference_name("score_pool4")
    ('conv1_2', 'score_pool4')
    """
    return re.sub(r"^block(\d)_conv(\d)", r"conv\1_\2", layer_name)


def _check_finite(plan: list[tuple[Any, SourceLayer]], source: WeightFile) -> None:
    """Raises ValueError if a tensor of the file is not all numbers; it reads each of them once."""
    for _, stored in plan:
        for tensor in filter(None, (stored.weight, stored.bias)):
            number = sum(int(np.sum(~np.isfinite(values))) for _, values in tensor.rows())
            if number:
                raise WeightFileError(
                    f"{str(source.path)!r} must contain weights that are numbers. Received: NaN or "
                    f"infinity in {stored.name} ({number} of {math.prod(tensor.shape)}). The file "
                    "is damaged, or its training diverged: get another one."
                )


def _fitting_plan(
    model: keras.Model, source: WeightFile
) -> tuple[list[tuple[Any, SourceLayer]], ConversionReport]:
    plan, report = _plan(model, source)
    if not report.fits:
        raise ValueError(
            f"The weights do not fit {model.name!r}, which is unchanged. {report}\n"
            "Build the model for the classes, the backbone, the width and the variant of the file."
        )
    return plan, report


def _plan(
    model: keras.Model, source: WeightFile
) -> tuple[list[tuple[Any, SourceLayer]], ConversionReport]:
    """Compares names and shapes; returns what to copy where."""
    plan: list[tuple[Any, SourceLayer]] = []
    kept, missing = [], []
    layers = {reference_name(layer.name): layer for layer in _leaf_layers(model)}
    mismatched = _scale_mismatches(layers, source) + _normalization_mismatches(model, source)
    for name, layer in layers.items():
        if not layer.weights:
            continue
        stored = _find(source, name)
        if stored is None:
            if source.is_classifier and name.startswith(("score", "up")):
                kept.append(layer.name)
            else:
                missing.append(f"{layer.name}: {[tuple(w.shape) for w in layer.weights]}")
        elif problem := _mismatch(
            layer,
            stored,
            colors_only=_is_extendable(stored, source),
            has_bands=_has_bands(model, source),
        ):
            mismatched.append(f"{layer.name}: {problem}")
        else:
            plan.append((layer, stored))
    unused = [name for name in source.layers if name not in layers and not _is_scale(name)]
    return plan, ConversionReport(
        source=source.path,
        loaded=tuple(layer.name for layer, _ in plan),
        kept=tuple(kept),
        missing=tuple(missing),
        mismatched=tuple(mismatched),
        extra=tuple(source.layers[name].name for name in unused),
        notes=source.notes + _normalization_notes(model, source) + _scale_notes(layers, source),
    )


def _leaf_layers(model: keras.Model) -> Iterator[Any]:
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _leaf_layers(layer)
        else:
            yield layer


def _mismatch(layer: Any, stored: SourceLayer, *, colors_only: bool, has_bands: bool) -> str | None:
    """Returns what differs between a layer and the one of the file, or None."""
    if not isinstance(layer, keras.layers.Conv2D | keras.layers.Conv2DTranspose):
        return f"a {type(layer).__name__}, which neither Caffe's nor PyTorch's files fill"
    wanted = _file_shape(layer)
    if colors_only and (wanted[1] > 3 or has_bands):
        wanted = (wanted[0], 3, *wanted[2:])
    if stored.weight.shape not in _equivalent_shapes(wanted):
        return f"the model needs the weight {wanted}, the file has {stored.weight.shape}"
    num_wanted = layer.filters if layer.use_bias else 0
    num_biases = 0 if stored.bias is None else math.prod(stored.bias.shape)
    if num_biases != num_wanted:
        return f"the model needs {num_wanted} biases, the file has {num_biases}"
    return None


def _file_shape(layer: Any) -> Shape:
    """Returns the shape that Caffe and PyTorch give to the kernel of a layer.

    They order a convolution (out, in, height, width) and a transposed one (in,
    out, height, width), Keras (height, width, in, out) and (height, width,
    out, in): the same reversal of the two pairs in both cases.
    """
    height, width, third, fourth = layer.kernel.shape
    return (fourth, third, height, width)


def _equivalent_shapes(shape: Shape) -> tuple[Shape, ...]:
    """Returns a kernel's shape and those of the fully connected layer that it is, too."""
    outputs, num_weights = shape[0], math.prod(shape[1:])
    return (shape, (outputs, num_weights), (1, 1, outputs, num_weights))


def _to_keras(stored: StoredTensor, layer: Any) -> np.ndarray:
    outputs, _, height, width = _file_shape(layer)
    # The file's own number, which is less if the model takes more channels.
    inputs = math.prod(stored.shape) // (outputs * height * width)
    kernel = np.empty((height, width, inputs, outputs), "float32")
    for first, rows in stored.rows(inputs * height * width):
        rows = rows.reshape(-1, inputs, height, width)
        kernel[..., first : first + len(rows)] = rows.transpose(2, 3, 1, 0)
    return kernel


def _find(source: WeightFile, name: str) -> SourceLayer | None:
    """Returns the layer of the file; a classifier's fills each stream of a two-stream network."""
    if name not in source.layers and source.is_classifier:
        for modality in MODALITIES:
            name = name.removesuffix(modality)
    return source.layers.get(name)


def _is_extendable(stored: SourceLayer, source: WeightFile) -> bool:
    """Whether this is the first convolution of a classifier, which may have to take depth, too."""
    return source.is_classifier and stored is source.layers.get(source.input_layer)


def _is_scale(name: str) -> bool:
    return name.startswith("scale_")


def _scale_mismatches(layers: Mapping[str, Any], source: WeightFile) -> list[str]:
    """Returns where file and model scale the skips differently: FCN-8s at-once and FCN-8s."""
    if source.is_classifier or not source.records_scales:
        return []
    problems = []
    for name in sorted(filter(_is_scale, {*layers, *source.layers})):
        in_model = getattr(layers.get(name), "scale", 1.0)
        in_file = source.layers[name].weight.read() if name in source.layers else np.ones(1)
        if not np.allclose(in_file, in_model, rtol=1e-4):
            problems.append(
                f"{name}: the model multiplies by {in_model:g}, the file by {in_file.flat[0]:g}; "
                "the at-once network scales its skips, FCN-8s does not"
            )
    return problems


def _scale_notes(layers: Mapping[str, Any], source: WeightFile) -> tuple[str, ...]:
    """Returns that it was not compared how a file scales the skips that it has."""
    if source.is_classifier or source.records_scales or "score_pool3" not in source.layers:
        return ()
    factors = [getattr(layers.get(f"scale_{pool}"), "scale", 1.0) for pool in ("pool4", "pool3")]
    return (
        "the file does not contain by what pool4 and pool3 are multiplied before their scores, "
        f"which distinguishes FCN-8s at-once from FCN-8s; the model multiplies by {factors[0]:g} "
        f"and {factors[1]:g}",
    )


def _other_normalization(model: keras.Model, source: WeightFile) -> ImageNormalization | None:
    """Returns a normalization of the model's that is not what the file was trained with."""
    for layer in _leaf_layers(model):
        # A logarithm is for depth, which no file to convert from was trained on alone.
        if isinstance(layer, ImageNormalization) and layer.mode not in (
            source.normalization,
            "log",
        ):
            return layer
    return None


def _has_bands(model: keras.Model, source: WeightFile) -> bool:
    """Whether a classifier of colors fills a network for standardized bands."""
    normalization = _other_normalization(model, source)
    return (
        source.is_classifier and normalization is not None and normalization.mode == "standardize"
    )


def _normalization_mismatches(model: keras.Model, source: WeightFile) -> list[str]:
    """Returns why a difference in normalization cannot be folded into the first convolution."""
    normalization = _other_normalization(model, source)
    first = source.layers.get(source.input_layer)
    if normalization is None or first is None:
        return []
    if _has_bands(model, source):
        return []  # widened
    is_rgb = len(model.inputs) == 1 and model.inputs[0].shape[-1] == 3 and normalization.flip
    if is_rgb and normalization.mode in FOLDABLE_MODES and first.bias is not None:
        return []
    return [
        f"{normalization.name}: the model normalizes as {normalization.mode!r}, the file was "
        f"trained with {source.normalization!r}"
    ]


def _normalization_notes(model: keras.Model, source: WeightFile) -> tuple[str, ...]:
    normalization = _other_normalization(model, source)
    if normalization is None:
        return ()
    if _has_bands(model, source):
        return (f"trained on colors: {source.input_layer} widened to standardized bands",)
    return (
        f"trained on inputs normalized as {source.normalization!r}, the model normalizes as "
        f"{normalization.mode!r}: folded into {source.input_layer}, exact but for the image's "
        "border",
    )
