"""The page: one HTML file with its style, its script and its pictures.

Everything that comes from files (names of classes, ids, paths) goes through `_text`, and the page
has a policy that lets the browser run the script of this package alone and load nothing.
"""

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from html import escape as _text
from importlib.resources import files
from string import Template
from typing import Any

import numpy as np

import keras_fcn
from keras_fcn.evaluation import Evaluation

from .boundaries import DILATION_RATIO
from .calibration import NUM_BINS
from .charts import band_chart, reliability_chart
from .examples import Example, heat_map
from .regions import FOUND_SHARE, MIN_CONFIDENCE, MIN_DISTANCE, MIN_PIXELS
from .statistics import DRAWS, LEVEL, SEED, HeadStatistics

# Rows of the table of images in the page, the worst ones; JSON has all.
MAX_ROWS = 2000
# More classes make the confusion matrix a picture.
MAX_TABLE_CLASSES = 40
_NONE = "\N{EN DASH}"
_ROLES = {
    "selection": "Validation of the training.",
    "training": "Training images.",
    "other": "Independent images.",
    "unknown": "Role unknown.",
}


@dataclass(frozen=True)
class HeadContent:
    """What the page shows of one head.

    Attributes:
        evaluation: Its metrics.
        details: Those of `HeadStatistics.to_dict`.
        statistics: The rows of its images, and its suspected label errors.
        worst: The images with the lowest mean IoU.
        of_class: By class, in the order to show them, the images with most wrong pixels of it, and
            their share of the pixels of the image.
        crops: The suspected label errors, in the order of `statistics.suspects`.
    """

    evaluation: Evaluation
    details: Mapping[str, Any]
    statistics: HeadStatistics
    worst: Sequence[Example]
    of_class: Mapping[int, Sequence[tuple[Example, float]]]
    crops: Sequence[Example]


def page(heads: Sequence[HeadContent], role: tuple[str, str]) -> str:
    """Returns the HTML of a report on these heads.

    Args:
        heads: The content of each head.
        role: See `split_role`.
    """
    pictures: dict[str, Any] = {"buttons": {}, "examples": {}}
    sections = [_Section(content, f"s{i}", pictures) for i, content in enumerate(heads)]
    evaluation = heads[0].evaluation
    script = _file("script.js")
    return Template(_file("template.html")).substitute(
        policy=_policy(script),
        title=_text(f"{evaluation.model} on {evaluation.dataset}, {evaluation.split}"),
        style=_file("style.css"),
        heading=_heading(evaluation),
        facts=_facts(evaluation) + _role(*role) + _notes(heads),
        nav="".join(section.links() for section in sections),
        main="".join(section.html() for section in sections),
        footer=_footer(),
        pictures=_json(pictures),
        script=script,
    )


class _Section:
    """The part of a page on one head.

    Args:
        content: What to show.
        prefix: Of the ids in it.
        pictures: The pictures of the page by key, to which those of the head are added.
    """

    def __init__(self, content: HeadContent, prefix: str, pictures: dict[str, Any]) -> None:
        self._content = content
        self._evaluation = content.evaluation
        self._details = content.details
        self._rows = content.statistics.rows
        self._spec = content.statistics.spec
        self._names = self._evaluation.class_names
        self._prefix = prefix
        self._pictures = pictures
        # The pictures of an image by its position, for the links of the table.
        self._keys: dict[int, str] = {}
        self._examples: dict[int, str] = {}
        self._parts = {
            "summary": ("Summary", self._summary()),
            "classes": ("Classes", self._classes()),
            "confusion": ("Confusion", self._confusion()),
            "boundaries": ("Boundaries", self._boundaries()),
            "calibration": ("Calibration", self._calibration()),
            "sizes": ("Region size", self._region_sizes()),
            "worst": ("Worst images", self._worst()),
            "worst-classes": ("Worst by class", self._worst_by_class()),
            "suspects": ("Suspected labels", self._suspects()),
            "images": ("All images", self._images()),
        }

    def links(self) -> str:
        """Returns the links of the navigation."""
        head = self._evaluation.head
        strong = f'<a class="strong" href="#{self._prefix}">{_text(head)}</a>' if head else ""
        links = (
            f'<a href="#{self._prefix}-{key}">{title}</a>'
            for key, (title, _) in self._parts.items()
        )
        return f"<div>{strong}{''.join(links)}</div>"

    def html(self) -> str:
        """Returns all sections."""
        head = self._evaluation.head
        title = f'<h2 class="head" id="{self._prefix}">Head {_text(head)}</h2>' if head else ""
        parts = {
            key: f'<section id="{self._prefix}-{key}" data-group>{content}</section>'
            for key, (_, content) in self._parts.items()
        }
        parts["boundaries"] = (
            f'<div class="pair">{parts["boundaries"]}{parts.pop("calibration")}</div>'
        )
        return title + "".join(parts.values())

    # === Numbers ===

    def _summary(self) -> str:
        metrics = self._evaluation.metrics
        values = {"mean_iou": ("mean IoU", metrics.mean_iou)}
        if self._evaluation.classes:
            title = f"mean IoU of {len(self._evaluation.classes)} classes"
            values["mean_iou_of_classes"] = (title, self._evaluation.mean_iou_of_classes)
        values |= {
            "boundary_iou": ("boundary IoU", self._details["boundary_iou"]),
            "pixel_accuracy": ("pixel accuracy", metrics.pixel_accuracy),
            "mean_accuracy": ("mean accuracy", metrics.mean_accuracy),
            "frequency_weighted_iou": ("freq.-weighted IoU", metrics.frequency_weighted_iou),
        }
        if self._details["calibration"]:
            values["ece"] = ("calibration error", self._details["calibration"]["ece"])
        cards = [
            f'<div class="card{" first" if name == "mean_iou" else ""}">'
            f'<div class="value">{_number(value)}</div><div class="name">{title}</div>'
            f'<div class="range">{_range(self._details["intervals"].get(name))}</div></div>'
            for name, (title, value) in values.items()
        ]
        if len(self._rows) > 1:
            remark = (
                f"Below each metric its {LEVEL:.0%} interval: the percentiles of {DRAWS:,} "
                f"bootstrap draws over the {len(self._rows):,} images (seed {SEED}). It covers the "
                "choice of the images, not that of the training run, and is too narrow where "
                "images resemble each other, as frames of a video do."
            )
        else:
            remark = "A single image has no interval."
        return (
            f'<h2>Summary</h2><p class="dim">{remark}</p><div class="cards">{"".join(cards)}</div>'
        )

    def _classes(self) -> str:
        intervals = self._details["intervals"]
        boundary = self._details["per_class_boundary_iou"]
        counts = self._evaluation.confusion_matrix.counts
        total = max(1, self._evaluation.confusion_matrix.num_pixels)
        rows = []
        for i, row in enumerate(self._evaluation.confusion_matrix.per_class()):
            interval = intervals.get("per_class_iou", {}).get(row.name)
            boundary_interval = intervals.get("per_class_boundary_iou", {}).get(row.name)
            right = int(counts[i, i])
            precision = right / row.num_predicted if row.num_predicted else None
            mark = " *" if row.name in self._evaluation.classes else ""
            mark += " †" if row.name in self._evaluation.unscored else ""
            rows.append(
                f'<tr><th scope="row">{self._swatch(i)}{_text(row.name)}{mark}</th>'
                f"{_meter(row.iou)}"
                f'<td class="num dim">{_range(interval)}</td>'
                f"{_cell(boundary[row.name])}"
                f'<td class="num dim">{_range(boundary_interval)}</td>'
                f"{_cell(row.accuracy)}{_cell(precision)}"
                f'<td class="num" data-value="{row.num_labeled}">{row.num_labeled / total:.2%}</td>'
                f"<td>{self._taken_for(i)}</td></tr>"
            )
        notes = []
        if self._evaluation.classes:
            notes.append("* in the mean IoU of chosen classes")
        if self._evaluation.unscored:
            notes.append("† not in the mean IoU, as the dataset has it")
        columns = (
            ("class", ""),
            ("IoU", "descending"),
            ("interval", None),
            ("boundary IoU", "descending"),
            ("interval", None),
            ("accuracy", "descending"),
            ("precision", "descending"),
            ("pixels", "descending"),
            ("most often taken for", None),
        )
        return (
            "<h2>Classes</h2>"
            '<p class="dim">Accuracy is the share of the pixels with this label that are right, '
            "precision the share of the pixels with this prediction that are right.</p>"
            + _table("classes", columns, rows, f"{self._prefix}-class-table")
            + (f'<p class="dim">{"; ".join(notes)}.</p>' if notes else "")
        )

    def _taken_for(self, label: int) -> str:
        counts = self._evaluation.confusion_matrix.counts[label].copy()
        total = counts.sum()
        counts[label] = 0
        if not counts.any():
            return f'<span class="dim">{_NONE}</span>'
        other = int(counts.argmax())
        return f"{_text(self._names[other])} <span class='dim'>{counts[other] / total:.1%}</span>"

    def _confusion(self) -> str:
        counts = self._evaluation.confusion_matrix.counts.astype(float)
        totals = counts.sum(1, keepdims=True)
        shares = np.divide(counts, totals, out=np.full_like(counts, np.nan), where=totals > 0)
        intro = (
            "<h2>Confusion matrix</h2>"
            '<p class="dim">Rows are labels, columns predictions, in percent of the row. '
        )
        if len(shares) > MAX_TABLE_CLASSES:
            return (
                f"{intro}The darker, the more, with the square root.</p>"
                f'<img class="heat" alt="Confusion matrix of {len(shares)} classes" '
                f'src="{heat_map(shares).data_uris()["Confusion matrix"]}">{self._largest(counts)}'
            )
        headings = "".join(
            f'<th scope="col"><span title="{_text(name)}">{_text(name)}</span></th>'
            for name in self._names
        )
        rows = []
        for i, name in enumerate(self._names):
            cells = "".join(self._confusion_cell(i, j, shares[i, j]) for j in range(len(shares)))
            rows.append(
                f'<tr><th scope="row" title="{_text(name)}">{self._swatch(i)}{_text(name)}</th>'
                f"{cells}</tr>"
            )
        return (
            f"{intro}Empty: below 0.05.</p>"
            '<div class="scroll narrow" tabindex="0" role="region" aria-label="Confusion matrix">'
            f'<table class="confusion"><thead><tr><td></td>{headings}</tr></thead>'
            f"<tbody>{''.join(rows)}</tbody></table></div>{self._largest(counts)}"
        )

    def _confusion_cell(self, label: int, prediction: int, share: float) -> str:
        if np.isnan(share) or share < 0.0005:
            return "<td></td>"
        kind, shade = ("right", share) if label == prediction else ("wrong", share**0.7)
        return f'<td class="{kind}" style="--s:{shade:.3f}">{100 * share:.1f}</td>'

    def _largest(self, counts: np.ndarray) -> str:
        """Returns the list of the most frequent confusions."""
        errors = counts - np.diag(counts.diagonal())
        total = max(1.0, errors.sum())
        order = np.argsort(-errors, axis=None)[:10].tolist()
        rows = []
        for label, prediction in (divmod(index, len(errors)) for index in order):
            if errors[label, prediction]:
                rows.append(
                    f"<tr><td>{self._swatch(label)}{_text(self._names[label])}</td>"
                    f"<td>{self._swatch(prediction)}{_text(self._names[prediction])}</td>"
                    f'<td class="num">{int(errors[label, prediction]):,}</td>'
                    f'<td class="num">{errors[label, prediction] / total:.1%}</td></tr>'
                )
        columns = (("label", None), ("prediction", None), ("pixels", None), ("of all errors", None))
        table = _table("most frequent confusions", columns, rows, right=(2, 3), is_narrow=True)
        return f"<details><summary>The most frequent confusions</summary>{table}</details>"

    def _boundaries(self) -> str:
        trimap = self._details["trimap"]
        rows = [
            f'<tr><td class="num">{of["width"]}</td>{_cell(of["mean_iou"])}</tr>' for of in trimap
        ]
        columns = (("pixels", None), ("mean IoU", None))
        table = _table("bands", columns, rows, right=(0, 1), is_narrow=True)
        return (
            "<h2>Boundaries</h2>"
            '<p class="dim">Mean IoU of the pixels near boundaries of the labels. Boundary IoU '
            f"({_number(self._details['boundary_iou'])}) compares the inner outlines of labels and "
            f"predictions, {DILATION_RATIO:.0%} of the diagonal wide (Cheng et al., 2021). Ignored "
            "pixels count in neither.</p>"
            + band_chart(trimap, _defined(self._evaluation.metrics.mean_iou))
            + f"<details><summary>Values</summary>{table}</details>"
        )

    def _calibration(self) -> str:
        calibration = self._details["calibration"]
        if calibration is None:
            return (
                "<h2>Calibration</h2><p class='remark'>This file returns predictions without "
                "logits: there are no probabilities to compare with the accuracy. Evaluate the "
                "<code>.keras</code> file, or export it again with "
                "<code>--output-type logits</code>.</p>"
            )
        if calibration["ece"] is None:
            return "<h2>Calibration</h2><p class='remark'>No pixel counts.</p>"
        confidence, accuracy = calibration["mean_confidence"], calibration["accuracy"]
        verdict = "overconfident" if confidence > accuracy else "underconfident"
        rows = [
            f'<tr><td class="num">{of["from"]:.2f} to {of["to"]:.2f}</td>'
            f'<td class="num">{of["num_pixels"]:,}</td>{_cell(of["confidence"])}'
            f"{_cell(of['accuracy'])}</tr>"
            for of in calibration["bins"]
        ]
        columns = (("bin", None), ("pixels", None), ("confidence", None), ("accuracy", None))
        table = _table("bins of confidence", columns, rows, right=(0, 1, 2, 3), is_narrow=True)
        return (
            "<h2>Calibration</h2>"
            f'<p class="dim">Accuracy of the predictions by their probability, in {NUM_BINS} bins; '
            "columns are shares of the pixels. On the diagonal a network is calibrated. On average "
            f"it is {verdict}: confidence {confidence:.3f}, accuracy {accuracy:.3f}; expected "
            f"calibration error {calibration['ece']:.4f}.</p>"
            f"{reliability_chart(calibration)}<details><summary>Values</summary>{table}</details>"
        )

    def _region_sizes(self) -> str:
        rows = []
        for of in self._details["region_sizes"]:
            last = of["max_pixels"]
            size = f"{of['min_pixels']:,} to {last:,}" if last else f"{of['min_pixels']:,} and more"
            rows.append(
                f'<tr><td class="num">{size}</td><td class="num">{of["num_regions"]:,}</td>'
                f'<td class="num">{of["num_pixels"]:,}</td>{_meter(of["pixel_accuracy"])}'
                f"{_meter(of['found'])}</tr>"
            )
        columns = (
            ("pixels of the region", None),
            ("regions", None),
            ("pixels in all", None),
            ("pixel accuracy", None),
            ("found", None),
        )
        return (
            "<h2>Errors by region size</h2>"
            '<p class="dim">Connected regions of the labels. A region is found if more than '
            f"{FOUND_SHARE:.0%} of its pixels are right.</p>"
            + _table("region sizes", columns, rows, right=(0, 1, 2, 3, 4), is_narrow=True)
        )

    # === Images ===

    def _worst(self) -> str:
        buttons = [self._button("w", i, e) for i, e in enumerate(self._content.worst)]
        return (
            "<h2>Worst images</h2>"
            f'<p class="dim">The {len(buttons)} images with the lowest mean IoU. Difference: red '
            "is wrong, gray ignored. Select one to see it large; arrow keys go to the next.</p>"
            f'{self._legend()}<div class="gallery">{"".join(buttons)}</div>'
        )

    def _worst_by_class(self) -> str:
        groups = []
        ious = self._evaluation.metrics.per_class_iou
        for label, examples in self._content.of_class.items():
            buttons = [
                self._button(f"c{label}-", i, example, f"{share:.1%} wrong for this class, ")
                for i, (example, share) in enumerate(examples)
            ]
            groups.append(
                f'<div class="class-group"><h4>{self._swatch(label)}{_text(self._names[label])} '
                f'<span class="dim">IoU {_number(_defined(ious[label]))}</span></h4>'
                f'<div class="gallery">{"".join(buttons)}</div></div>'
            )
        return (
            "<h2>Worst images by class</h2>"
            '<p class="dim">By class, the lowest IoU first: the images with most wrong pixels of '
            f"it, missed or false.</p>{''.join(groups)}"
        )

    def _suspects(self) -> str:
        title = "<h2>Suspected label errors</h2>"
        if self._details["calibration"] is None:
            return (
                f"{title}<p class='remark'>Without logits there are no probabilities to find them "
                "by.</p>"
            )
        found = list(self._content.statistics.suspects)
        buttons = []
        for i, ((position, suspect), example) in enumerate(
            zip(found, self._content.crops, strict=False)
        ):
            caption = (
                f"{self._names[suspect.label]} → {self._names[suspect.prediction]}, "
                f"{suspect.num_pixels:,} pixels, confidence {suspect.confidence:.3f}"
            )
            buttons.append(self._picture_button(f"x{i}", self._rows[position].id, caption, example))
        count = self._content.statistics.num_suspects
        return (
            f'{title}<p class="dim">Regions where the network confidently predicts another class '
            f"than the label: every probability at least {MIN_CONFIDENCE:g}, {MIN_PIXELS} pixels "
            f"or more, at least {MIN_DISTANCE} pixels from a boundary of the labels. Those with "
            f"the largest share of their image first: {len(buttons)} of {count:,}. Either the "
            "label is wrong, or the network is, and sure of it.</p>"
            f'<div class="gallery">{"".join(buttons)}</div>'
        )

    def _images(self) -> str:
        order = sorted(
            range(len(self._rows)),
            key=lambda i: (self._rows[i].mean_iou is None, self._rows[i].mean_iou, i),
        )
        has_confidence = self._details["calibration"] is not None
        rows = [self._image_row(i, has_confidence) for i in order[:MAX_ROWS]]
        columns: list[tuple[str, str | None]] = [
            ("image", ""),
            ("mean IoU", "descending"),
            ("boundary IoU", "descending"),
            ("pixel accuracy", "descending"),
            *([("confidence", "descending")] if has_confidence else []),
            ("ignored", "descending"),
            ("size", "descending"),
            ("most frequent error", "descending"),
        ]
        table = f"{self._prefix}-image-table"
        left_out = (
            f" The {MAX_ROWS:,} with the lowest mean IoU are shown; the file of "
            "<code>--json</code> has all."
            if len(order) > MAX_ROWS
            else ""
        )
        return (
            f'<h2>All images</h2><p class="dim">{len(order):,} images. Mean IoU and boundary IoU '
            "of an image are means over the classes that are labeled or predicted in it. The error "
            f"is the share of the pixels of the image.{left_out}</p>"
            f'<div class="tools"><input type="search" data-filter="{table}" '
            'placeholder="Filter by name or class" aria-label="Filter by name or class"></div>'
            + _table("images", columns, rows, table, is_tall=True, sorted_by="mean IoU")
        )

    def _image_row(self, position: int, has_confidence: bool) -> str:
        row = self._rows[position]
        name, key = _text(row.id), self._keys.get(position)
        if key:
            name = f'<button type="button" class="open" data-open="{key}">{name}</button>'
        pixels = row.num_pixels + row.num_ignored_pixels
        error = '<td data-value=""></td>'
        if row.main_error:
            label, prediction, count = row.main_error
            error = (
                f'<td data-value="{count / pixels:.6f}">{_text(self._names[label])} → '
                f'{_text(self._names[prediction])} <span class="dim">{count / pixels:.1%}</span>'
                "</td>"
            )
        return (
            f'<tr><th scope="row" data-value="{_text(row.id)}">{name}</th>{_meter(row.mean_iou)}'
            f"{_cell(row.boundary_iou)}{_cell(row.pixel_accuracy)}"
            + (_cell(row.mean_confidence) if has_confidence else "")
            + f'<td class="num" data-value="{row.num_ignored_pixels / max(1, pixels):.6f}">'
            f"{row.num_ignored_pixels / max(1, pixels):.1%}</td>"
            f'<td class="num" data-value="{pixels}">{row.width} &times; {row.height}</td>'
            f"{error}</tr>"
        )

    def _button(self, kind: str, index: int, example: Example, remark: str = "") -> str:
        row = self._rows[example.position]
        key = f"{kind}{index}"
        self._keys.setdefault(example.position, f"{self._prefix}{key}")
        caption = f"mean IoU {_number(row.mean_iou)}, pixel accuracy {_number(row.pixel_accuracy)}"
        return self._picture_button(key, row.id, remark + caption, example)

    def _picture_button(self, key: str, title: str, caption: str, example: Example) -> str:
        """Returns a button with the pictures of an example, which opens them large."""
        key = self._prefix + key
        # Several buttons may show one example.
        content = self._examples.setdefault(id(example), f"{self._prefix}e{len(self._examples)}")
        self._pictures["examples"].setdefault(content, example.data_uris())
        self._pictures["buttons"][key] = {"title": title, "caption": caption, "example": content}
        titles = "".join(f"<span>{title}</span>" for title in example.pictures)
        return (
            f'<button type="button" class="example" data-open="{key}" '
            f'aria-label="{_text(f"{title}: {caption}. Open large")}">'
            f'<span class="top"><span class="id" title="{_text(title)}"><bdi>{_text(title)}</bdi>'
            f'</span><span class="what">{_text(caption)}</span></span>'
            f'<span class="strip"></span><span class="titles">{titles}</span></button>'
        )

    def _legend(self) -> str:
        if len(self._names) > MAX_TABLE_CLASSES:
            return ""
        entries = (f"<li>{self._swatch(i)}{_text(name)}</li>" for i, name in enumerate(self._names))
        return f'<ul class="legend">{"".join(entries)}</ul>'

    def _swatch(self, label: int) -> str:
        red, green, blue = self._spec.palette[label]
        return f'<span class="swatch" style="background:rgb({red},{green},{blue})"></span>'


def _heading(evaluation: Evaluation) -> str:
    return (
        f"<h1>{_text(evaluation.dataset)}, {_text(evaluation.split)}</h1>"
        f"<p>{_text(evaluation.model)}</p>"
    )


def _facts(evaluation: Evaluation) -> str:
    counted = evaluation.confusion_matrix.num_pixels
    ignored = evaluation.confusion_matrix.num_ignored
    facts = {
        "dataset": evaluation.dataset,
        "split": evaluation.split,
        "format": evaluation.format,
        "images": f"{evaluation.num_images:,}",
        "pixels": f"{counted:,}",
        "ignored pixels": f"{ignored:,} ({ignored / max(1, counted + ignored):.1%} of all)",
    }
    entries = (
        f"<div><dt>{name}</dt><dd>{_text(value)}</dd></div>" for name, value in facts.items()
    )
    return f'<dl class="facts">{"".join(entries)}</dl>'


def _role(role: str, sentence: str) -> str:
    return f'<p class="role {role}"><b>{_ROLES[role]}</b>{_text(sentence)}</p>'


def _notes(heads: Sequence[HeadContent]) -> str:
    notes = dict.fromkeys(note for content in heads for note in content.evaluation.notes)
    return "".join(f'<p class="remark">{_text(note)}</p>' for note in notes)


def _footer() -> str:
    version = _text(keras_fcn.__version__)
    return f"Written by keras_fcn {version}, <code>keras-fcn evaluate --report</code>."


def _table(
    label: str,
    columns: Iterable[tuple[str, str | None]],
    rows: Sequence[str],
    id_: str = "",
    *,
    right: Sequence[int] = (),
    is_tall: bool = False,
    is_narrow: bool = False,
    sorted_by: str | None = None,
) -> str:
    """Returns a table that scrolls if it is wide.

    Args:
        label: What it is, for screen readers.
        columns: Headings; to sort by a column, the order of the first click, "" for ascending;
            None for a column that does not sort.
        rows: The HTML of each row.
        id_: Its id.
        right: Indices of further columns whose heading is at the right.
        is_tall: Whether it scrolls in itself.
        is_narrow: Whether it is only as wide as it needs to be.
        sorted_by: The column by which the rows are sorted already.
    """
    headings = []
    for i, (title, order) in enumerate(columns):
        is_number = bool(order) or i in right or title == "interval"
        side = ' class="num"' if is_number and title != "most frequent error" else ""
        if order is None:
            headings.append(f'<th scope="col"{side}>{title}</th>')
            continue
        present = "ascending" if title == sorted_by else "none"
        first = f' data-first="{order}"' if order else ""
        headings.append(
            f'<th scope="col"{side} aria-sort="{present}"{first}>'
            f'<button type="button">{title}</button></th>'
        )
    kind = "scroll" + " tall" * is_tall + " narrow" * is_narrow
    name = f' id="{id_}"' if id_ else ""
    return (
        f'<div class="{kind}" tabindex="0" role="region" '
        f'aria-label="Table of {_text(label)}">'
        f"<table{name}><thead><tr>{''.join(headings)}</tr></thead><tbody>{''.join(rows)}</tbody>"
        "</table></div>"
    )


def _cell(value: float | None) -> str:
    exact = "" if value is None else f"{value:.6f}"
    return f'<td class="num" data-value="{exact}">{_number(value)}</td>'


def _meter(value: float | None) -> str:
    """Returns a cell with a number over a bar of that share."""
    if value is None:
        return _cell(None)
    return (
        f'<td class="num meter" data-value="{value:.6f}" style="--v:{value:.4f}">'
        f"{_number(value)}</td>"
    )


def _number(value: float | None) -> str:
    return _NONE if value is None or np.isnan(value) else f"{value:.3f}"


def _range(interval: Sequence[float] | None) -> str:
    return "" if interval is None else f"{interval[0]:.3f}{_NONE}{interval[1]:.3f}"


def _defined(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _json(value: Any) -> str:
    """Returns JSON that cannot end the element it is in."""
    return json.dumps(value).replace("<", "\\u003c").replace("&", "\\u0026")


def _policy(script: str) -> str:
    """Returns the policy of the page: this script alone, no file and no address is loaded."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )


@cache
def _file(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")
