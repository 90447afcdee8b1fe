"""The folder of a training: its files, and the check before writing to it."""

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from keras_fcn.files import LockedError, locked, write_text

from .config import Config

# Settings that another run of the same training may change: they change no weight.
_PLACES = ("workdir", "source", "data_dir", "weights_dir")
_FREE = (*_PLACES, "resume", "accept_changed_data", "save_every", "write_classes")


@dataclass(frozen=True)
class Workdir:
    """The paths of a training's files.

    Args:
        path: The folder.
    """

    path: Path

    @property
    def config(self) -> Path:
        """The settings, all of them."""
        return self.path / "config.json"

    @property
    def plan(self) -> Path:
        """The plan that the settings follow, if there is one."""
        return self.path / "plan.json"

    @property
    def best(self) -> Path:
        """The network with the best validation mean IoU so far."""
        return self.path / "best.keras"

    @property
    def last(self) -> Path:
        """The network after the last epoch."""
        return self.path / "last.keras"

    @property
    def log(self) -> Path:
        """One row per epoch."""
        return self.path / "log.csv"

    @property
    def curves(self) -> Path:
        """A picture of the log."""
        return self.path / "curves.png"

    @property
    def strip(self) -> Path:
        """A picture of some validation images with the last predictions."""
        return self.path / "validation.png"

    @property
    def tensorboard(self) -> Path:
        """Folder of the events that TensorBoard shows."""
        return self.path / "tensorboard"

    @property
    def state(self) -> Path:
        """The state that a resumed training needs."""
        return self.path / "state" / "state.npz"

    @property
    def lock(self) -> Path:
        """The file that a running training locks."""
        return self.path / ".lock"


def open_workdir(config: Config) -> Workdir:
    """Returns the folder of a training, without changing it.

    Raises:
        ValueError: If the folder is not empty and the training is not to resume, or is to
            resume and its settings differ or there is no training.
    """
    workdir = Workdir(Path(config.run.workdir).expanduser())
    if config.run.resume:
        if not workdir.config.is_file():
            raise ValueError(
                f"There is no training to resume in {workdir.path}: it has no config.json. "
                "Leave out --resume to start one."
            )
        _check_same(Config.from_file(workdir.config), config, workdir)
    elif workdir.path.exists() and not workdir.path.is_dir():
        raise ValueError(f"`workdir` must be a folder. {workdir.path} is a file.")
    elif workdir.path.is_dir() and set(workdir.path.iterdir()) - {workdir.lock}:
        raise ValueError(
            f"The workdir {workdir.path} is not empty, and was not changed. Continue its "
            "training by --resume, or choose another --workdir."
        )
    return workdir


@contextmanager
def locked_workdir(config: Config) -> Iterator[Workdir]:
    """Yields the folder of a training, which no other training can use meanwhile.

    The lock ends with the context, or with the process. A folder that did not exist and is still
    empty at the end is removed.

    Raises:
        ValueError: As for `open_workdir`, or if a training runs there; the text names its process.
    """
    workdir = Workdir(Path(config.run.workdir).expanduser())
    if not workdir.lock.exists():
        open_workdir(config)  # refuses other folders without a change to them
    missing = [path for path in (workdir.path, *workdir.path.parents) if not path.exists()]
    try:
        with ExitStack() as stack:
            try:
                stack.enter_context(
                    locked(workdir.lock, f"since {time.strftime('%Y-%m-%d %H:%M')}")
                )
            except LockedError as error:
                raise ValueError(
                    f"A training is running in {workdir.path}, and two would mix their files: "
                    f"{error} Wait for its end, or choose another --workdir."
                ) from None
            yield open_workdir(config)
    finally:
        with suppress(OSError):  # they contain the training
            for path in missing:
                path.rmdir()


def write_config(workdir: Workdir, config: Config) -> None:
    """Writes `config.json`, after which the training can be resumed."""
    write_text(workdir.config, config.replace(resume=False, accept_changed_data=False).to_json())


def with_settings_of(first: Config, own: Config) -> Config:
    """Returns the settings of the first host, with the places that another host was given."""
    given = own.to_flat()
    defaults = Config().to_flat()
    places = (*_PLACES, "dataset")
    return first.replace(**{n: given[n] for n in places if given[n] != defaults[n]})


def settings_of_hosts(config: Config) -> str:
    """Returns the settings that must be the same on all hosts of a training: all but places."""
    places = (*_PLACES, *(["dataset"] if config.data.dataset.startswith("folder:") else []))
    values = {n: value for n, value in config.to_flat().items() if n not in places}
    return json.dumps(values, sort_keys=True)


def _check_same(before: Config, now: Config, workdir: Workdir) -> None:
    free = set(_FREE)
    if before.optimizer.schedule == "constant" and now.run.epochs >= before.run.epochs:
        # Only with this schedule do the first epochs not depend on the number of epochs.
        free.add("epochs")
    if now.data.dataset.startswith("folder:") and before.data.dataset.startswith("folder:"):
        free.add("dataset")  # may have moved; the fingerprint compares what is in it
    values = before.to_flat()
    differing = [
        f"{name}={value!r} (was {values[name]!r})"
        for name, value in now.to_flat().items()
        if name not in free and value != values[name]
    ]
    if differing:
        raise ValueError(
            f"To resume, the settings must be those in {workdir.config}. Differing: "
            f"{'; '.join(differing)}. Set them as they were, or start a new training from its "
            f"weights: --init {workdir.last}, with another --workdir. (More epochs fit only a "
            "training with schedule='constant': another schedule depends on their number.)"
        )
