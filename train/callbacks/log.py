"""The log of a training as a table."""

import csv
import io
from pathlib import Path
from typing import Any

import keras

from keras_fcn.files import write_text


class CsvLog(keras.callbacks.Callback):
    """Writes one row an epoch, with a column for each quantity.

    The columns are those of `keras.callbacks.CSVLogger`: `epoch`, counted from
    0, then the quantities. The whole file is replaced each time, so it is
    never half-written; a resumed training drops the rows after its start.

    Args:
        path: The file.
        epoch: Complete epochs at the start; later rows are dropped.
    """

    def __init__(self, path: Path, epoch: int = 0) -> None:
        super().__init__()
        self._path = path
        self.rows = [row for row in read_log(path) if row["epoch"] < epoch]

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.rows.append({"epoch": epoch, **{name: float(value) for name, value in logs.items()}})
        write_log(self._path, self.rows)


def read_log(path: Path) -> list[dict[str, float]]:
    """Returns the rows of a log, without the quantities that a row does not have."""
    if not path.is_file():
        return []
    with path.open(newline="") as file:
        return [
            {name: float(value) for name, value in row.items() if value}
            for row in csv.DictReader(file)
        ]


def write_log(path: Path, rows: list[dict[str, float]]) -> None:
    """Writes rows that may have different quantities, such as epochs without validation."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows({**row, "epoch": int(row["epoch"])} for row in rows)
    write_text(path, text.getvalue())
