"""The trainings of a study: one after the other, each in a folder of its own."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from keras_fcn.datasets import SegmentationDataset, open_dataset

from ..callbacks.log import read_log
from ..config import Config
from ..smoke import smoke_config
from ..terminal import printable
from ..training import fit
from ..workdir import Workdir, open_workdir

# As many as the largest batch of patch sampling needs.
_SMOKE_IMAGES = 8


@dataclass(frozen=True)
class Run:
    """One training of a study.

    Args:
        name: Name of its folder.
        config: Its settings; `workdir`, `resume` and, with `starts_from`, `init` are filled in.
        starts_from: Name of an earlier run, from whose last network it starts.
        dataset: The dataset, where `config.data.dataset` is none that can be opened by name.
    """

    name: str
    config: Config
    starts_from: str | None = None
    dataset: SegmentationDataset | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Trained:
    """The result of a run.

    Args:
        config: The settings it was trained with.
        network: The network after the last epoch, a `.keras` file.
        log: One dictionary of quantities per epoch, as in `log.csv`.
    """

    config: Config
    network: Path
    log: list[dict[str, float]] = field(repr=False)

    @property
    def metrics(self) -> dict[str, float]:
        """Validation loss and metrics after the last epoch, by name."""
        last = self.log[-1]
        return {
            name.removeprefix("val_"): value
            for name, value in last.items()
            if name.startswith("val_") and name != "val_seconds"
        }

    @property
    def seconds(self) -> float:
        """Time of the training, without validation."""
        return sum(row["seconds"] for row in self.log)


def open_base(base: Config) -> tuple[Config, SegmentationDataset]:
    """Returns the settings that a study starts from, and their dataset.

    With `smoke` they are those of a training of seconds, on the sample set.

    Raises:
        ValueError: If the dataset has several label maps, or there is no validation split.
    """
    if base.run.smoke:
        # Without the recipe its needs are not checked; the study chooses what a run starts from.
        base = smoke_config(base).replace(smoke=False, recipe=None, limit=_SMOKE_IMAGES)
    if base.data.validation_split is None:
        raise ValueError(
            "A study compares networks on a validation split. Received: validation_split=None."
        )
    dataset = open_dataset(
        base.data.dataset, base.data.source, base.data.data_dir, **base.data.folder
    )
    if dataset.heads.is_named:
        raise ValueError(
            f"A study needs one label per pixel; {dataset.name!r} has several: "
            f"{', '.join(dataset.heads)}."
        )
    return base, dataset


def train_all(runs: Sequence[Run], workdir: str | Path) -> dict[str, Trained]:
    """Trains the networks of a study in turn; what was trained before is not trained again.

    Args:
        runs: The trainings; one that starts from another comes after it.
        workdir: Folder of the runs' folders. An interrupted run is continued.

    Returns:
        The result of each run, by name.

    Raises:
        ValueError: If a run's folder contains a training with other settings.
        TrainingStopped: If a training was interrupted or diverged.
    """
    trained: dict[str, Trained] = {}
    for number, run in enumerate(runs, 1):
        folder = Path(workdir).expanduser() / run.name
        print(printable(f"\nTraining {number} of {len(runs)}: {folder}"), flush=True)
        trained[run.name] = _train(run, folder, trained)
    return trained


def _train(run: Run, folder: Path, earlier: Mapping[str, Trained]) -> Trained:
    workdir = Workdir(folder)
    config = run.config.replace(workdir=str(folder), resume=workdir.config.is_file())
    if run.starts_from:
        config = config.replace(init=str(earlier[run.starts_from].network))
    open_workdir(config)  # refuses a folder of other settings
    if _is_finished(workdir, config):
        print("It was trained before.")
    else:
        fit(config, run.dataset)
    return Trained(config, workdir.last, read_log(workdir.log))


def _is_finished(workdir: Workdir, config: Config) -> bool:
    # The log is written after the network of its epoch.
    return len(read_log(workdir.log)) >= config.run.epochs and workdir.last.is_file()
