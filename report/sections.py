"""The sections of the page on one head.

Everything that comes from files (names of classes, ids) goes through `_text`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape as _text
from typing import Any

import numpy as np

from keras_fcn.evaluation import Evaluation

from .boundaries import DILATION_RATIO
from .calibration import NUM_BINS
from .charts import band_chart, reliability_chart
from .examples import Example, heat_map
from .regions import FOUND_SHARE, MIN_CONFIDENCE, MIN_DISTANCE, MIN_PIXELS
from .statistics import DRAWS, LEVEL, SEED, HeadStatistics
from .tables import NONE, Column, html_table, meter_cell, number_cell, number_text, range_text

# Rows of the table of images in the page, the worst ones; JSON has all.
MAX_ROWS = 2000
# More classes make the confusion matrix a picture.
MAX_TABLE_CLASSES = 40


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


class HeadSection:
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
            f'<div class="value">{number_text(value)}</div><div class="name">{title}</div>'
            f'<div class="range">{range_text(self._details["intervals"].get(name))}</div></div>'
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
                f"{meter_cell(row.iou)}"
                f'<td class="num dim">{range_text(interval)}</td>'
                f"{number_cell(boundary[row.name])}"
                f'<td class="num dim">{range_text(boundary_interval)}</td>'
                f"{number_cell(row.accuracy)}{number_cell(precision)}"
                f'<td class="num" data-value="{row.num_labeled}">{row.num_labeled / total:.2%}</td>'
                f"<td>{self._taken_for(i)}</td></tr>"
            )
        notes = []
        if self._evaluation.classes:
            notes.append("* in the mean IoU of chosen classes")
        if self._evaluation.unscored:
            notes.append("† not in the mean IoU, as the dataset has it")
        columns = (
            Column("class", "ascending", is_number=False),
            Column("IoU", "descending"),
            Column("interval"),
            Column("boundary IoU", "descending"),
            Column("interval"),
            Column("accuracy", "descending"),
            Column("precision", "descending"),
            Column("pixels", "descending"),
            Column("most often taken for", is_number=False),
        )
        return (
            "<h2>Classes</h2>"
            '<p class="dim">Accuracy is the share of the pixels with this label that are right, '
            "precision the share of the pixels with this prediction that are right.</p>"
            + html_table("classes", columns, rows, f"{self._prefix}-class-table")
            + (f'<p class="dim">{"; ".join(notes)}.</p>' if notes else "")
        )

    def _taken_for(self, label: int) -> str:
        counts = self._evaluation.confusion_matrix.counts[label].copy()
        total = counts.sum()
        counts[label] = 0
        if not counts.any():
            return f'<span class="dim">{NONE}</span>'
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
                f"{intro}The shade follows the square root.</p>"
                f'<img class="heat" alt="Confusion matrix of {len(shares)} classes" '
                f'src="{heat_map(shares).data_uris()["Confusion matrix"]}">'
                + self._largest(counts, " open")
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

    def _largest(self, counts: np.ndarray, state: str = "") -> str:
        """Returns the list of the most frequent confusions, which is shown if `state` is open."""
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
        columns = (
            Column("label", is_number=False),
            Column("prediction", is_number=False),
            Column("pixels"),
            Column("of all errors"),
        )
        table = html_table("most frequent confusions", columns, rows, is_narrow=True)
        return f"<details{state}><summary>The most frequent confusions</summary>{table}</details>"

    def _boundaries(self) -> str:
        trimap = self._details["trimap"]
        rows = [
            f'<tr><td class="num">{of["width"]}</td>{number_cell(of["mean_iou"])}</tr>'
            for of in trimap
        ]
        columns = (Column("pixels"), Column("mean IoU"))
        table = html_table("bands", columns, rows, is_narrow=True)
        return (
            "<h2>Boundaries</h2>"
            '<p class="dim">Mean IoU of the pixels near boundaries of the labels. Boundary IoU '
            f"({number_text(self._details['boundary_iou'])}) compares the inner outlines of labels "
            f"and predictions, {DILATION_RATIO:.0%} of the diagonal wide (Cheng et al., 2021). "
            "Ignored pixels count in neither.</p>"
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
            f'<td class="num">{of["num_pixels"]:,}</td>{number_cell(of["confidence"])}'
            f"{number_cell(of['accuracy'])}</tr>"
            for of in calibration["bins"]
        ]
        columns = (Column("bin"), Column("pixels"), Column("confidence"), Column("accuracy"))
        table = html_table("bins of confidence", columns, rows, is_narrow=True)
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
                f'<td class="num">{of["num_pixels"]:,}</td>{meter_cell(of["pixel_accuracy"])}'
                f"{meter_cell(of['found'])}</tr>"
            )
        columns = (
            Column("pixels of the region"),
            Column("regions"),
            Column("pixels in all"),
            Column("pixel accuracy"),
            Column("found"),
        )
        return (
            "<h2>Errors by region size</h2>"
            '<p class="dim">Connected regions of the labels. A region is found if more than '
            f"{FOUND_SHARE:.0%} of its pixels are right.</p>"
            + html_table("region sizes", columns, rows, is_narrow=True)
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
        is_single = all(len(examples) == 1 for examples in self._content.of_class.values())
        layout = ' class="gallery"' if is_single else ""
        ious = self._evaluation.metrics.per_class_iou
        for label, examples in self._content.of_class.items():
            buttons = [
                self._button(f"c{label}-", i, example, f"{share:.1%} wrong for this class, ")
                for i, (example, share) in enumerate(examples)
            ]
            groups.append(
                f'<div class="class-group"><h4>{self._swatch(label)}{_text(self._names[label])} '
                f'<span class="dim">IoU {number_text(_defined(ious[label]))}</span></h4>'
                f'<div class="gallery">{"".join(buttons)}</div></div>'
            )
        return (
            "<h2>Worst images by class</h2>"
            '<p class="dim">By class, the lowest IoU first: the images with most wrong pixels of '
            f"it, missed or false.</p><div{layout}>{''.join(groups)}</div>"
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
        columns = [
            Column("image", "ascending", is_number=False),
            Column("mean IoU", "descending"),
            Column("boundary IoU", "descending"),
            Column("pixel accuracy", "descending"),
            *([Column("confidence", "descending")] if has_confidence else []),
            Column("ignored", "descending"),
            Column("size", "descending"),
            Column("most frequent error", "descending", is_number=False),
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
            + html_table("images", columns, rows, table, is_tall=True, sorted_by="mean IoU")
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
            f'<tr><th scope="row" data-value="{_text(row.id)}">{name}</th>'
            f"{meter_cell(row.mean_iou)}{number_cell(row.boundary_iou)}{number_cell(row.pixel_accuracy)}"
            + (number_cell(row.mean_confidence) if has_confidence else "")
            + f'<td class="num" data-value="{row.num_ignored_pixels / max(1, pixels):.6f}">'
            f"{row.num_ignored_pixels / max(1, pixels):.1%}</td>"
            f'<td class="num" data-value="{pixels}">{row.width} &times; {row.height}</td>'
            f"{error}</tr>"
        )

    def _button(self, kind: str, index: int, example: Example, remark: str = "") -> str:
        row = self._rows[example.position]
        key = f"{kind}{index}"
        self._keys.setdefault(example.position, f"{self._prefix}{key}")
        mean_iou, accuracy = number_text(row.mean_iou), number_text(row.pixel_accuracy)
        caption = f"{remark}mean IoU {mean_iou}, pixel accuracy {accuracy}"
        return self._picture_button(key, row.id, caption, example)

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


def _defined(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
