"""The result of comparing an exported model with its model."""

import math
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.table import Table


@dataclass(frozen=True)
class Comparison:
    """Comparison of an exported model on one runtime with the model.

    Attributes:
        runtime: Name of the runtime.
        max_logit_difference: Largest difference of a logit at any pixel.
        max_logit: Largest logit of the model, to judge the difference by.
        equal_predictions: Share of the pixels with the same prediction, 0 to 1.
        mean_iou: Mean IoU of the exported model on the labeled images, if they are labeled.
    """

    runtime: str
    max_logit_difference: float
    max_logit: float
    equal_predictions: float
    mean_iou: float | None = None


@dataclass(frozen=True)
class VerificationReport:
    """The result of `verify`. Printed with rich or `str` it is a table.

    Attributes:
        exported: The file or folder.
        size_bytes: Its size on disk.
        num_images: Number of images compared.
        num_pixels: Number of their pixels.
        model_mean_iou: Mean IoU of the model on the same images, if they are labeled.
        comparisons: One per runtime.
        min_equal_predictions: Share of equal predictions that every runtime must reach.
        notes: Remarks on the comparison.
    """

    exported: str
    size_bytes: int
    num_images: int
    num_pixels: int
    model_mean_iou: float | None
    comparisons: tuple[Comparison, ...]
    min_equal_predictions: float
    notes: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether enough predictions are equal, and all logits finite, on every runtime."""
        return all(
            row.equal_predictions >= self.min_equal_predictions
            and math.isfinite(row.max_logit_difference)
            for row in self.comparisons
        )

    def to_dict(self) -> dict[str, Any]:
        """Returns plain values, for JSON."""
        return {**asdict(self), "passed": self.passed}

    def __rich__(self) -> RenderableType:
        header = (
            f"{self.exported}: {self.size_bytes / 1e6:.2f} MB, against its model on "
            f"{self.num_images} images ({self.num_pixels:,} pixels)"
        )
        verdict = "Passed" if self.passed else "FAILED"
        return Group(
            header,
            *(f"Note: {note}" for note in self.notes),
            self._table(),
            f"{verdict}: at least {self.min_equal_predictions:.2%} of the predictions must be "
            "equal.",
        )

    def __str__(self) -> str:
        console = Console(width=120, color_system=None)
        with console.capture() as capture:
            console.print(self)
        return capture.get()

    def _table(self) -> Table:
        table = Table(box=None, pad_edge=False, padding=(0, 2))
        table.add_column("run by")
        columns = ["equal predictions", "largest logit difference", "of logits up to"]
        if self.model_mean_iou is not None:
            columns += ["mean IoU", "of the model"]
        for column in columns:
            table.add_column(column, justify="right")
        for row in self.comparisons:
            cells = [
                f"{row.equal_predictions:.4%}",
                f"{row.max_logit_difference:.3g}",
                f"{row.max_logit:.3g}",
            ]
            if self.model_mean_iou is not None:
                cells += [f"{row.mean_iou:.4f}", f"{self.model_mean_iou:.4f}"]
            table.add_row(row.runtime, *cells)
        return table
