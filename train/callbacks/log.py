"""The log of a training as a table, as a picture, and for TensorBoard."""

import csv
import io
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from keras_fcn.files import write_text
from keras_fcn.visualization import save_curves

from ..workdir import Workdir

# The plugin of TensorBoard that draws curves; `tf.summary.scalar` writes the same.
_SCALAR = tf.compat.v1.SummaryMetadata(
    plugin_data={"plugin_name": "scalars"}, data_class="DATA_CLASS_SCALAR"
)


class CsvLog(keras.callbacks.Callback):
    """Writes one row per epoch, with a column for each quantity.

    The columns are those of `keras.callbacks.CSVLogger`: `epoch`, counted from
    0, then the quantities. The whole file is replaced each time, so it is always complete; a
    resumed training drops the rows after its start.

    Args:
        path: The file; `None` to keep the rows only.
        epoch: Complete epochs at the start; later rows are dropped.
    """

    def __init__(self, path: Path | None, epoch: int = 0) -> None:
        super().__init__()
        self._path = path
        self.rows = [row for row in (read_log(path) if path else []) if row["epoch"] < epoch]

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.rows.append({"epoch": epoch, **{name: float(value) for name, value in logs.items()}})
        if self._path:
            write_log(self._path, self.rows)


def read_log(path: Path) -> list[dict[str, float]]:
    """Returns the rows of a log, without the quantities that a row does not have.

    Raises:
        ValueError: If the file is damaged. The text has its path.
    """
    if not path.is_file():
        return []
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = [
                {name: float(value) for name, value in row.items() if value}
                for row in csv.DictReader(file)
            ]
        if not all(row["epoch"] >= 0 for row in rows):
            raise ValueError("a negative epoch")
    except (ValueError, TypeError, KeyError, csv.Error) as error:
        raise ValueError(
            f"{path} cannot be read as the log of a training: it is damaged ({error}). Restore "
            "it, or remove it to continue without the rows before."
        ) from error
    return rows


def write_log(path: Path, rows: list[dict[str, float]]) -> None:
    """Writes rows that may have different quantities, such as epochs without validation."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows({**row, "epoch": int(row["epoch"])} for row in rows)
    write_text(path, text.getvalue())


class Curves(keras.callbacks.Callback):
    """Draws loss, mean IoU and learning rate from the log, after each epoch.

    Args:
        workdir: Folder of the log and the picture.
    """

    def __init__(self, workdir: Workdir) -> None:
        super().__init__()
        self._workdir = workdir

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        save_curves(self._workdir.log, self._workdir.curves)


class TensorBoardLog(keras.callbacks.Callback):
    """Writes the quantities of each epoch as scalars, training and validation side by side.

    Keras' own callback needs the package tensorboard to write; with this one it is only needed to
    view the curves.

    Args:
        path: Folder of the runs `train` and `validation`.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        self._writers: dict[str, Any] = {}

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        for name, value in logs.items():
            run = "validation" if name.startswith("val_") else "train"
            with self._writer(run).as_default():
                tf.summary.write(
                    name.removeprefix("val_"),
                    tf.constant(value, tf.float32),
                    step=epoch,
                    metadata=_SCALAR,
                )
        for writer in self._writers.values():
            writer.flush()

    def on_train_end(self, logs: Any = None) -> None:
        for writer in self._writers.values():
            writer.close()
        self._writers = {}

    def _writer(self, run: str) -> Any:
        if run not in self._writers:
            self._writers[run] = tf.summary.create_file_writer(str(self._path / run))
        return self._writers[run]
