"""Experiments of the FCN papers; `keras-fcn study` runs them.

A study is an entry of `STUDIES` and a module of this folder with two functions:

* `runs(base, dataset, **options)` returns the trainings. They differ from the settings `base` in
  what the study compares. `runs.train_all` trains them, each in a folder of its own. A study that
  trains nothing returns none.
* `report(trained, dataset, **options)` returns a `Report`: a table, notes and a picture.

The modules are imported when a study runs, so that `keras-fcn study --help` need not wait for
TensorFlow.
"""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..config import Config, settings
from ..recipes import load_recipe
from ..recipes.sample_quickstart import CONFIG as QUICKSTART

if TYPE_CHECKING:
    from keras_fcn.datasets import SegmentationDataset

    from .report import Report
    from .runs import Run, Trained


@dataclass(frozen=True)
class Option:
    """An option of one study only.

    Args:
        name: Its name on the command line, and as an argument of `runs` and `report`.
        type: `str`, `int`, `Path`, or `tuple` for names.
        default: Its default.
        help: What it means.
        metavar: What the help shows for its value.
        least: The smallest number, where it is one.
        most: The largest number; None for no limit.
    """

    name: str
    type: type
    default: Any
    help: str
    metavar: str
    least: int = 1
    most: int | None = None


@dataclass(frozen=True)
class Study:
    """An experiment of the papers.

    Args:
        name: Its name, which is that of its module, with dashes.
        summary: One line about it.
        help: What it does, in paragraphs, which may be indented as a docstring.
        settings: Names of the settings that a user can give. The study chooses all others.
        defaults: The settings where none are given.
        options: Options of this study only.

    Example:
        >>> study = STUDIES["upsampling"]
        >>> study.base({"epochs": 2}).run.epochs, "upsampling" in study.settings
        (2, False)
    """

    name: str
    summary: str
    help: str
    settings: tuple[str, ...] = ()
    defaults: Config = field(default_factory=Config)
    options: tuple[Option, ...] = ()

    def base(self, given: Mapping[str, Any]) -> Config:
        """Returns the given settings on top of those of the recipe, if one is given, or `defaults`.

        Args:
            given: Settings by name.
        """
        start = self.defaults
        # Some defaults are only for their backbone, and some only for their dataset.
        if "backbone" in given:
            start = start.replace(alpha=None)
        if "dataset" in given:
            start = start.replace(limit=None)
        if given.get("recipe"):
            start = load_recipe(given["recipe"]).replace(workdir=self.defaults.run.workdir)
        return start.replace(**given)

    def runs(self, base: Config, dataset: "SegmentationDataset", **options: Any) -> list["Run"]:
        """Returns the trainings of the study; none if it trains nothing.

        Args:
            base: The settings that they have in common.
            dataset: The dataset of these settings.
            **options: Values of `Study.options` by name, where they are not the defaults.
        """
        runs: list[Run] = self._module.runs(base, dataset, **self._complete(options))
        return runs

    def report(
        self, trained: Mapping[str, "Trained"], dataset: "SegmentationDataset", **options: Any
    ) -> "Report":
        """Returns the table, the notes and the picture of the study.

        Args:
            trained: The results of `runs` by name.
            dataset: The dataset, as for `runs`.
            **options: As for `runs`.
        """
        report: Report = self._module.report(trained, dataset, **self._complete(options))
        return report

    @property
    def _module(self) -> Any:
        return importlib.import_module(f"{__name__}.{self.name.replace('-', '_')}")

    def _complete(self, options: Mapping[str, Any]) -> dict[str, Any]:
        return {**{option.name: option.default for option in self.options}, **options}


def _settings_except(*chosen: str) -> tuple[str, ...]:
    """Returns the settings that a user can give to a study that chooses these itself."""
    # A study resumes its trainings without being asked.
    return tuple(name for name in settings() if name not in ("resume", *chosen))


# What the studies train by default: a small network on the built-in sample set, in minutes.
_SMALL = QUICKSTART.replace(
    alpha=0.5, batch_size=4, learning_rate=3e-3, warmup_steps=50, ema_decay=0.98, validate_every=1
)
_CONTINUED = "An interrupted study continues where it stopped; --recipe gives other defaults."

# All studies by name, in the order of `docs/studies.md`.
STUDIES: dict[str, Study] = {
    study.name: study
    for study in (
        Study(
            "label-downsampling",
            "Best mean IoU that coarse predictions can reach.",
            """
            Measure the mean IoU of labels that were downsampled by 128 to 4, against the labels.

            No network whose logits are so coarse can do better (Appendix A of the paper). The paper
            does not state how its labels are resampled; three ways are shown beside its row.
            """,
            settings=("dataset", "source", "data_dir"),
            options=(
                Option("split", str, "val", "Split to use.", "NAME"),
                Option("images", int, None, "Number of images to use.  [default: all]", "N"),
            ),
        ),
        Study(
            "shift-and-stitch",
            "Two ways to dense logits, with the same result.",
            """
            Show that shift-and-stitch and the network without strides give the same dense logits.

            A narrow VGG of random weights is run on every shift of an image within its stride, and
            once with its strides left out and its filters dilated (section 3.2 of the paper).
            """,
            options=(
                Option(
                    "image",
                    Path,
                    None,
                    "Image to run on.  [default: one of the built-in sample]",
                    "FILE",
                ),
                Option(
                    "blocks",
                    int,
                    3,
                    "Blocks of the VGG; its stride is 2 to this power.",
                    "N",
                    most=5,
                ),
            ),
        ),
        Study(
            "networks",
            "FCN-32s, 16s, 8s and 8s at once, side by side.",
            f"""
            Train FCN-32s, 16s from it, 8s from that, and 8s at once (Table 2 of the paper).

            --epochs is the length of a stage. 8s at once is trained for three times as many, and
            FCN-32s is also trained further, for as long as the other stages take. {_CONTINUED}
            """,
            settings=_settings_except("variant"),
            defaults=_SMALL.replace(epochs=3, validate_every=3, workdir="runs/study_networks"),
        ),
        Study(
            "masking",
            "Foreground or background hidden, in six settings.",
            f"""
            Train and test with foreground or background hidden behind the dataset's mean color.

            Four trainings make the six settings of the later paper's Table 8 (PAMI 2016).
            {_CONTINUED}
            """,
            settings=_settings_except(),
            defaults=_SMALL.replace(epochs=6, validate_every=3, workdir="runs/study_masking"),
            options=(
                Option(
                    "background", tuple, ("background",), "Classes that are background.", "LIST"
                ),
            ),
        ),
        Study(
            "patch-sampling",
            "Whole images against random patches of more.",
            f"""
            Train with all, a half and a quarter of the cells in the loss, drawn at random.

            The batch is --batch-size images, twice and four times as many, so that each step counts
            as many cells (section 3.4 and figure 5 of the paper); --epochs is for whole images.
            {_CONTINUED}
            """,
            settings=_settings_except("loss_share", "validate_every"),
            defaults=_SMALL.replace(epochs=6, limit=512, workdir="runs/study_patch_sampling"),
        ),
        Study(
            "upsampling",
            "Fixed against learned upsampling of logits.",
            f"""
            Train a network whose upsampling stays bilinear, and others that learn it.

            {_CONTINUED}
            """,
            settings=_settings_except("upsampling"),
            defaults=_SMALL.replace(epochs=8, workdir="runs/study_upsampling"),
        ),
    )
}
