"""Pictures of label maps, metrics and training: PNG files, drawn without a display."""

import csv
import math
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from keras_fcn.confusion_matrix import ConfusionMatrix
from keras_fcn.files import replacing
from keras_fcn.labels import Color, LabelSpec

# Imported by what draws charts: label maps and overlays do not wait for it.
if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

VOID_COLOR: Color = (224, 224, 192)  # the color of label 255 in PASCAL VOC's masks
STRAY_COLOR: Color = (255, 0, 255)  # labels that are neither a class nor ignored

_INK = (45, 45, 50)
_PALE_INK = (125, 125, 130)
_TRAINING, _VALIDATION = "#8a97a8", "#c8374a"


def label_image(labels: np.ndarray, spec: LabelSpec) -> Image.Image:
    """Returns a label map as a palette image (mode "P"): the labels themselves, colored.

    Saved as PNG it is the format of PASCAL VOC's masks; `keras_fcn.data.masks.read_mask`
    reads the labels back. Ignored pixels get VOC's (224, 224, 192).

    Args:
        labels: Labels, integer, shape `(height, width)`, each in 0..255.
        spec: The classes and their colors.

    Raises:
        ValueError: If `labels` is not a two-dimensional map of integers in 0..255.

    Example:
        >>> image = label_image(np.array([[0, 1], [1, 255]]), LabelSpec(("background", "cat")))
        >>> image.mode, image.size, image.convert("RGB").getpixel((1, 0))
        ('P', (2, 2), (128, 0, 0))
    """
    image = Image.fromarray(_checked_labels(labels))
    image.putpalette([channel for color in _full_palette(spec) for channel in color])
    return image


def overlay(
    image: np.ndarray, labels: np.ndarray, spec: LabelSpec, alpha: float = 0.5
) -> Image.Image:
    """Returns an image blended with the colors of its label map.

    A class whose color is black, such as PASCAL VOC's background, leaves the image unchanged.

    Args:
        image: RGB, uint8, shape `(height, width, 3)`.
        labels: Labels, integer, shape `(height, width)`.
        spec: The classes and their colors.
        alpha: Weight of the colors, from 0 (image only) to 1 (labels only).

    Raises:
        ValueError: If the image and the label map differ in size, or `alpha` is outside [0, 1].

    Example:
        >>> gray = np.full((1, 2, 3), 100, "uint8")
        >>> picture = overlay(gray, np.array([[0, 1]]), LabelSpec(("background", "cat")))
        >>> picture.getpixel((0, 0)), picture.getpixel((1, 0))
        ((100, 100, 100), (114, 50, 50))
    """
    if not 0 <= alpha <= 1:
        raise ValueError(f"`alpha` must be in [0, 1]. Received: alpha={alpha}.")
    labels, image = _checked_labels(labels), np.asarray(image)
    if image.shape != (*labels.shape, 3):
        raise ValueError(
            "`image` must be an RGB image of the label map's size. Received: image of shape "
            f"{image.shape}, labels of shape {labels.shape}."
        )
    colors = label_image(labels, spec).convert("RGB")
    # Pillow mixes bytes, in a fraction of the memory that floating-point images would take.
    weights = [round(255 * alpha) if any(color) else 0 for color in _full_palette(spec)]
    return Image.composite(colors, Image.fromarray(image), Image.fromarray(labels).point(weights))


def save_gallery(
    path: str | Path,
    rows: Iterable[Sequence[np.ndarray]],
    specs: Sequence[LabelSpec],
    *,
    titles: Sequence[str] = ("image", "truth", "prediction"),
    captions: Sequence[str] = (),
    examples_per_line: int = 1,
    cell_width: int = 320,
) -> Path:
    """Writes images beside their label maps, with a legend of the classes that occur.

    Args:
        path: The PNG to write.
        rows: One sequence per example: RGB images uint8 `(height, width, 3)` and label maps
            `(height, width)`, as many as there are `titles`.
        specs: The classes and their colors for each label map of a row, in their order.
            Equal ones share one legend.
        titles: Headings of the columns.
        captions: One line of text for each example, written below it; none by default.
        examples_per_line: Number of examples side by side.
        cell_width: Width of one picture in pixels.

    Returns:
        `path`.

    Raises:
        ValueError: If there are no rows, an example does not have as many pictures as `titles`,
            or as many label maps as `specs`.
    """
    rows = [tuple(row) for row in rows]
    if not rows or any(len(row) != len(titles) for row in rows):
        raise ValueError(
            f"`rows` must contain at least one example of {len(titles)} pictures "
            f"({', '.join(titles)}) each. Received: {[len(row) for row in rows]} pictures."
        )
    maps = [[part for part in row if np.ndim(part) == 2] for row in rows]
    if any(len(of_row) != len(specs) for of_row in maps):
        raise ValueError(
            f"`specs` must contain one entry per label map of an example. Received: {len(specs)} "
            f"for {[len(of_row) for of_row in maps]} label maps."
        )
    maps_of: dict[LabelSpec, list[np.ndarray]] = {}
    for of_row in maps:
        for spec, map_ in zip(specs, of_row, strict=True):
            maps_of.setdefault(spec, []).append(map_)
    examples = [_example(row, specs, cell_width) for row in rows]
    examples_per_line = min(examples_per_line, len(examples))
    lines = [
        _line(
            examples[start : start + examples_per_line],
            captions[start : start + examples_per_line],
        )
        for start in range(0, len(examples), examples_per_line)
    ]
    width = max(line.width for line in lines)
    heading = _heading(titles, cell_width, examples_per_line)
    legends = [_legend(spec, of_spec, width) for spec, of_spec in maps_of.items()]
    page = _stack([heading, *lines, *legends])
    return save_picture(path, page)


def save_confusion_matrix(path: str | Path, matrix: ConfusionMatrix, title: str = "") -> Path:
    """Writes a confusion matrix as a PNG: the predictions of the pixels of each class, in percent.

    Every row sums to 100: the diagonal is the accuracy of a class. Rows of classes that do not
    occur in the labels stay gray.

    Args:
        path: The PNG to write.
        matrix: The confusion matrix.
        title: Written above the matrix.

    Returns:
        `path`.
    """
    from matplotlib.figure import Figure

    class_names, num_classes = matrix.class_names, matrix.num_classes
    counts = matrix.counts.astype("float64")
    totals = counts.sum(axis=1, keepdims=True)
    percent = 100 * np.divide(counts, totals, out=np.full_like(counts, np.nan), where=totals > 0)
    cell_inches = 0.42 if num_classes <= 30 else 0.22
    side = max(3.0, cell_inches * num_classes)
    figure = Figure(figsize=(side + 2.4, side + 1.6), layout="constrained")
    axes = figure.add_subplot()
    axes.set_facecolor("0.93")
    picture = axes.imshow(percent, cmap="Blues", vmin=0, vmax=100)
    axes.set_xticks(range(num_classes), class_names, rotation=45, ha="right")
    axes.set_yticks(range(num_classes), class_names)
    axes.set_xlabel("prediction")
    axes.set_ylabel("truth")
    axes.set_title(title, fontsize=11)
    axes.spines[:].set_visible(False)
    axes.set_xticks(np.arange(num_classes + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(num_classes + 1) - 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=1.5)
    axes.tick_params(which="both", length=0, labelsize=9)
    if num_classes <= 30:
        _write_percents(axes, percent)
    bar = figure.colorbar(picture, ax=axes, shrink=0.7, pad=0.02, format="%d%%")
    bar.outline.set_visible(False)
    bar.ax.tick_params(length=0, labelsize=8)
    return save_picture(path, figure)


def save_curves(csv_path: str | Path, png_path: str | Path) -> Path:
    """Draws the log of a training run: loss, mean IoU, learning rate.

    Args:
        csv_path: The log, as `keras.callbacks.CSVLogger` writes it: a column `epoch` counted
            from 0, and one for each quantity, those of validation with the prefix `val_`.
        png_path: The PNG to write.

    Returns:
        `png_path`.

    Raises:
        ValueError: If the log has no rows, or no column that can be drawn.
    """
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    log = _read_log(Path(csv_path))
    panels = [name for name in _PANELS if _drawable(log, name) or _drawable(log, f"val_{name}")]
    if not panels:
        raise ValueError(
            f"{csv_path} must contain at least one row with one of the columns {list(_PANELS)}. "
            f"Received: columns {list(log)}."
        )
    figure = Figure(
        figsize=(0.6 + 3.9 * len(panels), 3.4), layout=ConstrainedLayoutEngine(wspace=0.06)
    )
    for axes, name in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        _draw_curve(axes, log, name)
    return save_picture(png_path, figure)


def save_picture(path: str | Path, picture: "Image.Image | Figure") -> Path:
    """Writes a picture in one step: a file of that name is always complete.

    Args:
        path: The file to write; its suffix determines the format. Its folder is created if
            missing.
        picture: A Pillow image or a matplotlib figure.

    Returns:
        `path`.
    """
    path = Path(path)
    with replacing(path) as temporary:
        if isinstance(picture, Image.Image):
            picture.save(temporary, quality=92)
        else:
            picture.savefig(temporary, dpi=140)
    return path


# The quantities of a log that are drawn, in this order, and their headings.
_PANELS = {
    "loss": "loss",
    "mean_iou": "mean IoU",
    "learning_rate": "learning rate",
}


def _checked_labels(labels: np.ndarray) -> np.ndarray:
    """Returns `labels` as uint8, or raises ValueError."""
    labels = np.asarray(labels)
    if labels.ndim != 2 or not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(
            "`labels` must be one map of integers, shape (height, width). Received: shape "
            f"{labels.shape}, dtype {labels.dtype}."
        )
    if labels.size and not 0 <= labels.min() <= labels.max() <= 255:
        raise ValueError(f"`labels` must be in 0..255. Received: {labels.min()} to {labels.max()}.")
    return np.ascontiguousarray(labels, dtype="uint8")


def _full_palette(spec: LabelSpec) -> list[Color]:
    """Returns a color for each of the 256 values that a label can have."""
    colors = [*spec.palette, *[STRAY_COLOR] * (255 - spec.num_classes), VOID_COLOR]
    if 0 <= spec.ignore_class < 256:
        colors[spec.ignore_class] = VOID_COLOR
    return colors


# === Galleries ===

_GAP = 8
_MARGIN = 16
_TEXT_SIZE = 15


def _example(row: Sequence[np.ndarray], specs: Sequence[LabelSpec], width: int) -> Image.Image:
    """Returns images and label maps side by side, each `width` pixels wide."""
    of_maps = iter(specs)
    pictures = [
        label_image(part, next(of_maps)).convert("RGB")
        if np.ndim(part) == 2
        else Image.fromarray(np.asarray(part, "uint8"))
        for part in row
    ]
    return _beside([_scaled(picture, width) for picture in pictures], _GAP)


def _scaled(picture: Image.Image, width: int) -> Image.Image:
    size = (width, max(1, round(picture.height * width / picture.width)))
    # Magnified pixels stay sharp squares: a small label map should not look smoother than it is.
    method = Image.Resampling.NEAREST if width > picture.width else Image.Resampling.LANCZOS
    return picture.resize(size, method)


def _line(examples: Sequence[Image.Image], captions: Sequence[str]) -> Image.Image:
    if captions:
        examples = [
            _stack([example, _text_line(caption, example.width)], gap=3)
            for example, caption in zip(examples, captions, strict=True)
        ]
    return _beside(examples, 4 * _GAP)


def _heading(titles: Sequence[str], cell_width: int, repeats: int) -> Image.Image:
    cells = [_text_line(title, cell_width, centered=True) for title in titles]
    return _beside([_beside(cells, _GAP)] * repeats, 4 * _GAP)


def _legend(spec: LabelSpec, maps: Sequence[np.ndarray], width: int) -> Image.Image:
    """Returns a swatch and a name for each class in the maps, broken into lines of `width`."""
    present = np.unique(np.concatenate([np.unique(map_) for map_ in maps]))
    palette = _full_palette(spec)
    entries = [_legend_entry(_name(spec, label), palette[label]) for label in present.tolist()]
    lines: list[list[Image.Image]] = [[]]
    for entry in entries:
        if lines[-1] and sum(e.width + 2 * _GAP for e in lines[-1]) + entry.width > width:
            lines.append([])
        lines[-1].append(entry)
    return _stack([_beside(line, 2 * _GAP) for line in lines], gap=4)


def _name(spec: LabelSpec, label: int) -> str:
    if label < spec.num_classes:
        return spec.class_names[label]
    return "ignored" if label in (spec.ignore_class, 255) else f"label {label}"


def _legend_entry(name: str, color: Color) -> Image.Image:
    text = _text_line(name, _text_width(name))
    swatch = Image.new("RGB", (22, text.height), "white")
    box = (0, 2, 21, text.height - 3)
    ImageDraw.Draw(swatch).rounded_rectangle(box, radius=3, fill=color, outline=_PALE_INK)
    return _beside([swatch, text], 6)


def _beside(pictures: Sequence[Image.Image], gap: int) -> Image.Image:
    """Returns the pictures in one line on white, aligned at the top."""
    width = sum(picture.width for picture in pictures) + gap * (len(pictures) - 1)
    line = Image.new("RGB", (width, max(picture.height for picture in pictures)), "white")
    left = 0
    for picture in pictures:
        line.paste(picture, (left, 0))
        left += picture.width + gap
    return line


def _stack(pictures: Sequence[Image.Image], gap: int | None = None) -> Image.Image:
    """Returns the pictures below each other; with a margin around them if no gap is given."""
    margin, gap = (_MARGIN, _MARGIN) if gap is None else (0, gap)
    width = max(picture.width for picture in pictures) + 2 * margin
    height = sum(picture.height for picture in pictures) + gap * (len(pictures) - 1) + 2 * margin
    page = Image.new("RGB", (width, height), "white")
    top = margin
    for picture in pictures:
        page.paste(picture, (margin, top))
        top += picture.height + gap
    return page


def _text_line(text: str, width: int, *, centered: bool = False) -> Image.Image:
    """Returns one line of text, shortened with an ellipsis where it is wider than `width`."""
    while text and _text_width(text) > width:
        text = text.removesuffix("…")[:-1] + "…" if len(text) > 1 else ""
    line = Image.new("RGB", (max(width, 1), _TEXT_SIZE + 6), "white")
    left = (width - _text_width(text)) // 2 if centered else 0
    ImageDraw.Draw(line).text((left, 1), text, fill=_INK, font=_font())
    return line


def _text_width(text: str) -> int:
    return math.ceil(_font().getlength(text))


@cache
def _font() -> ImageFont.FreeTypeFont:
    # matplotlib contains this font; Pillow's own has Latin letters only.
    import matplotlib

    return ImageFont.truetype(
        str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"), _TEXT_SIZE
    )


# === Charts ===


def _write_percents(axes: "Axes", percent: np.ndarray) -> None:
    for (row, column), value in np.ndenumerate(percent):
        if np.isnan(value) or value < 0.5:
            continue
        color = "white" if value > 55 else "0.25"
        weight = "bold" if row == column else "normal"
        style: dict[str, Any] = {"color": color, "weight": weight, "fontsize": 8.5}
        axes.text(column, row, f"{value:.0f}", ha="center", va="center", **style)


def _read_log(path: Path) -> dict[str, np.ndarray]:
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    names = [name for name in (rows[0] if rows else {}) if name]
    return {name: np.array([_number(row.get(name)) for row in rows]) for name in names}


def _number(text: str | None) -> float:
    try:
        return float(text or "nan")
    except ValueError:
        return math.nan  # CSVLogger writes "NA" where a quantity was not measured


def _drawable(log: Mapping[str, np.ndarray], name: str) -> bool:
    return name in log and bool(np.isfinite(log[name]).any())


def _draw_curve(axes: "Axes", log: Mapping[str, np.ndarray], name: str) -> None:
    from matplotlib.ticker import MaxNLocator

    for key, text, color in (
        (name, "training", _TRAINING),
        (f"val_{name}", "validation", _VALIDATION),
    ):
        if not _drawable(log, key):
            continue
        epochs = log["epoch"] + 1 if "epoch" in log else np.arange(len(log[key])) + 1
        finite = np.isfinite(log[key])
        epochs, values = epochs[finite], log[key][finite]
        marker = "o" if len(values) <= 30 else ""
        axes.plot(epochs, values, color=color, label=text, marker=marker, markersize=3.5)
        if key == "val_mean_iou":
            _mark_best(axes, epochs, values)
    axes.set_title(_PANELS[name], fontsize=11, loc="left")
    axes.set_xlabel("epoch", fontsize=9)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.tick_params(labelsize=8.5, color="0.8")
    axes.grid(color="0.92")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color("0.8")
    if name == "mean_iou":
        axes.set_ylim(bottom=min(0, axes.get_ylim()[0]), top=1)
    elif name == "loss":
        axes.set_ylim(bottom=min(0, axes.get_ylim()[0]))
    if f"val_{name}" in log:
        # A corner that such curves do not reach. "best" warns if the search takes over a second.
        if name == "mean_iou":
            axes.legend(frameon=False, fontsize=9, loc="lower right")
        else:
            axes.legend(frameon=False, fontsize=9, loc="upper right")


def _mark_best(axes: "Axes", epochs: np.ndarray, values: np.ndarray) -> None:
    best = int(np.argmax(values))
    axes.plot(epochs[best], values[best], "o", color=_VALIDATION, markersize=7, fillstyle="none")
    axes.annotate(
        f"{values[best]:.3f}",
        (epochs[best], values[best]),
        xytext=(0, 8),
        textcoords="offset points",
        ha="center",
        fontsize=9,
        color=_VALIDATION,
    )
