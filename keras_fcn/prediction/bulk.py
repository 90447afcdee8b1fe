"""Prediction of very many images by Ray Data, in several processes on one machine or many.

Ray Data reads the files and gives them to workers, each of which has the SavedModel in memory and
predicts file after file by its signature `encoded`. A file that cannot be read fails alone. An
output gets its name when it is complete, and a name that is there is never written again: so a
batch that is repeated because its worker was killed, and a command that is repeated because it was
killed itself, do what is missing.
"""

import csv
import math
import os
import tempfile
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cache
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from keras_fcn.data.image_io import RGB, depth_problem, orientation_of, read_image
from keras_fcn.files import WrittenFiles, first_line, remove_leftovers
from keras_fcn.labels import Heads
from keras_fcn.modalities import ImageReading
from keras_fcn.native_output import quiet_native_output
from keras_fcn.prediction.image_files import FilePrediction, output_names
from keras_fcn.prediction.open import open_predictor
from keras_fcn.prediction.predictor import Predictor
from keras_fcn.prediction.savedmodel import SavedModelPredictor
from keras_fcn.prediction.storage import (
    files_in,
    find_stored_images,
    is_local,
    missing_of,
    open_storage,
    read_stored,
    write_stored,
)
from keras_fcn.visualization import label_image

# The table of the files that failed, in the folder of the outputs.
FAILURES = "keras_fcn_failures.csv"
# Processors of each machine that the workers leave to reading, and those that one reading takes.
READER_CPUS = 0.25
_CPUS_PER_READING = READER_CPUS / 2
# Files that are read at once, each in a thread, and then predicted one after the other.
BATCH = 16
_MAX_BLOCKS = 10_000
# How often a file is tried again in whose batch the worker ended.
_RETRIES = 2
_LOOKED_AT = 16
# What a PNG may contain that turns it.
_TURNS_PNG = (b"eXIf", b"Raw profile type", b"XML:com.adobe.xmp")


def import_ray() -> Any:
    """Returns the package `ray`, with `ray.data`.

    Raises:
        ValueError: If it is not installed.
    """
    # Else it sends statistics to its makers, and writes on the screen what is in its log files.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_DATA_LOG_LEVEL", "CRITICAL")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    os.environ.setdefault("RAY_DISABLE_FAILURE_SIGNAL_HANDLER", "1")
    try:
        import ray.data
    except ImportError as error:
        raise ValueError(
            '`--engine ray` needs Ray Data. Install it: pip install "keras_fcn[bulk]"'
        ) from error
    return ray


def start_ray() -> Any:
    """Returns `ray`, connected to a cluster, which it starts on this machine if there is none."""
    ray = import_ray()
    if not ray.is_initialized():
        with quiet_native_output():  # it names its log level there
            ray.init(include_dashboard=False, log_to_driver=False, logging_level="CRITICAL")
    return ray


class BulkPrediction:
    """One run: the images that are there, and of which of them the predictions are missing.

    For `photo.jpg` it writes `photo.png`, the file that `predict_files` writes, under the names
    that it gives. What is there under such a name is left as it is, whoever wrote it.

    Args:
        predictor: A SavedModel with the signature `encoded`. Its folder must be at the same path
            on every machine.
        inputs: Paths or URLs of image files, folders and patterns; see `find_stored_images`.
        output_dir: Path or URL of the folder to write to.
        image_reading: How image files are read. By default as in the training.
        on_left_out: Called for each input of which something was left out, with a sentence.

    Attributes:
        num_images: How many images there are.
        remaining: The images without predictions: the name of the output, without suffix, by path.

    Raises:
        ValueError: If the model has no such signature, there are no images or some are in
            `output_dir`, or images of 16 bits would be nearly black.
        FileExistsError: If the table of failures is there, and was changed or is not this
            package's.
    """

    def __init__(
        self,
        predictor: Predictor,
        inputs: Sequence[str],
        output_dir: str,
        *,
        image_reading: ImageReading | None = None,
        on_left_out: Callable[[str], object] = lambda _: None,
    ) -> None:
        if not isinstance(predictor, SavedModelPredictor) or not predictor.has_encoded:
            raise ValueError(
                f"`--engine ray` takes a SavedModel for RGB with the signature `encoded`: "
                f"`keras-fcn export --format savedmodel`. Received: {predictor.path}."
            )
        self._model = Path(predictor.path or "").absolute()
        self.reading = image_reading or predictor.image_reading
        self._source, images = find_stored_images(inputs, on_left_out)
        self._target, folder = open_storage(output_dir)
        self._folder = os.path.realpath(folder) if is_local(self._target) else folder.rstrip("/")
        self._check_apart(images)
        self.num_images = len(images)
        names = [Path(name).as_posix() for name in output_names([Path(path) for path in images])]
        existing = files_in(self._target, self._folder, recursive=any("/" in n for n in names))
        self.remaining = {
            path: name
            for path, name in zip(images, names, strict=True)
            if not existing.issuperset(_files(predictor.heads, self._folder, name).values())
        }
        if problem := self._depth_problem():
            raise ValueError(problem)
        self.table = f"{self._folder}/{FAILURES}"
        if is_local(self._target):
            WrittenFiles().check([Path(self.table)])

    def run(
        self, num_workers: int = 1, gpus_per_worker: float = 0
    ) -> Generator[FilePrediction, None, None]:
        """Predicts the remaining images and yields the result of each, in no order.

        It runs in the Ray cluster of this process; else in that of `$RAY_ADDRESS` or `ray start`;
        else in one of its own on this machine. The table of failures is complete at the end.

        Args:
            num_workers: Processes that predict. They share the processors of their machines.
            gpus_per_worker: Share of a GPU that each takes, such as 0.5 for two on one.
        """
        self._write_table([])  # before the work, so that it fails if nothing can be written
        if not self.remaining:
            return
        is_own = not import_ray().is_initialized()
        ray = start_ray()
        failed: list[FilePrediction] = []
        try:
            for result in self._results(ray, num_workers, gpus_per_worker):
                if result.error:
                    failed.append(result)
                yield result
        finally:
            if is_own:
                ray.shutdown()
            self._write_table(failed)
            if is_local(self._target):
                for folder in {name.rpartition("/")[0] for name in self.remaining.values()}:
                    remove_leftovers(Path(self._folder, folder))

    def _results(
        self, ray: Any, num_workers: int, gpus_per_worker: float
    ) -> Iterator[FilePrediction]:
        import pyarrow as pa

        batch = min(BATCH, math.ceil(len(self.remaining) / num_workers))
        rows = batch * math.ceil(len(self.remaining) / batch / _MAX_BLOCKS)
        num_workers = min(num_workers, math.ceil(len(self.remaining) / rows))
        table = pa.table({"image": list(self.remaining), "name": list(self.remaining.values())})
        num_cpus = _cpus_per_worker(ray, num_workers, gpus_per_worker)
        context = ray.data.DataContext.get_current().copy()
        context.enable_progress_bars = False
        context.max_consecutive_actor_init_deaths = _RETRIES
        with ray.data.DataContext.current(context):
            errors = (
                ray.data.from_arrow([table.slice(i, rows) for i in range(0, len(table), rows)])
                .map_batches(
                    _reader(self._source),
                    batch_size=batch,
                    batch_format="pyarrow",
                    num_cpus=_CPUS_PER_READING,
                )
                .map_batches(
                    _Worker,
                    batch_size=batch,
                    batch_format="pyarrow",
                    compute=ray.data.ActorPoolStrategy(size=num_workers),
                    num_cpus=num_cpus,
                    num_gpus=gpus_per_worker or None,
                    fn_constructor_args=(
                        self._model,
                        self.reading,
                        self._target,
                        self._folder,
                        max(1, round(num_cpus)),
                        _attempts(ray),
                    ),
                )
            )
        for row in errors.iter_rows():
            yield FilePrediction(Path(row["image"]), error=row["error"] or None)

    def _check_apart(self, images: Sequence[str]) -> None:
        """Raises ValueError if images are where predictions are written."""
        if self._source != self._target:
            return
        resolved = cache(os.path.realpath) if is_local(self._source) else str
        for path in images:
            if f"{resolved(path.rpartition('/')[0])}/".startswith(f"{self._folder}/"):
                raise ValueError(
                    f"The image {path} is in the folder of the output. Choose one without images, "
                    f"so that a second start does not take masks for images. Received: "
                    f"{self._folder}."
                )

    def _depth_problem(self) -> str:
        """Returns what `depth_problem` does, of copies of some images."""
        looked_at = list(self.remaining)[:: max(1, len(self.remaining) // _LOOKED_AT)]
        with tempfile.TemporaryDirectory() as folder:
            copies = {}
            for number, path in enumerate(looked_at):
                copy = Path(folder, str(number), Path(path).name)
                copy.parent.mkdir()
                with suppress(OSError):  # reported where it is predicted
                    copy.write_bytes(read_stored(self._source, path))
                    copies[copy] = path
            problem = depth_problem(list(copies), self.reading)
        for copy, path in copies.items():
            problem = problem.replace(str(copy), path)
        return problem

    def _write_table(self, failed: Sequence[FilePrediction]) -> None:
        text = StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(("image", "error"))
        writer.writerows((result.path.as_posix(), result.error) for result in failed)
        write_stored(self._target, self.table, text.getvalue().encode())


def _files(heads: Heads, folder: str, name: str) -> dict[str, str]:
    """Returns the path of the predictions of each head of an image."""
    return {head: f"{folder}/{name}{heads.suffix(head)}.png" for head in heads}


def _cpus_per_worker(ray: Any, num_workers: int, gpus_per_worker: float) -> float:
    """Returns the processors that each worker takes, so that all fit, and the reading beside."""
    resources = [node["Resources"] for node in ray.nodes() if node["Resources"].get("CPU")]
    if gpus_per_worker:
        resources = [of_node for of_node in resources if of_node.get("GPU")]
        if not resources:
            raise ValueError("No machine of the Ray cluster has a GPU. Leave `--gpus` out.")
    num_cpus = min(of_node["CPU"] for of_node in resources)
    per_node = math.ceil(num_workers / len(resources))
    # In hundredths, rounded down.
    return max(1, int(100 * (num_cpus - READER_CPUS) / per_node)) / 100


def _reader(filesystem: Any) -> Callable[[Any], Any]:
    """Returns the function that adds their contents to a table of images."""

    # Defined here, Ray sends it as code: the processes that read import neither this package nor
    # TensorFlow. For the same reason it does not call `read_stored`.
    def read(batch: Any) -> Any:
        from concurrent.futures import ThreadPoolExecutor

        import pyarrow as pa

        def content_and_error(path: str) -> tuple[bytes, str]:
            try:
                with filesystem.open_input_stream(path, compression=None) as file:
                    return file.read(), ""
            except FileNotFoundError:
                return b"", f"{path}: there is no such file."
            except Exception as error:  # whatever a storage raises
                return b"", f"{path}: it cannot be read ({error})."

        with ThreadPoolExecutor() as pool:
            results = list(pool.map(content_and_error, batch["image"].to_pylist()))
        contents, errors = zip(*results, strict=True)
        return batch.append_column("content", pa.array(contents, pa.large_binary())).append_column(
            "error", pa.array(errors, pa.string())
        )

    return read


def _attempts(ray: Any) -> Any:
    """Starts a process that counts how often something began, and that no worker ends."""

    class Attempts:  # defined here for the same reason
        def __init__(self) -> None:
            self._counts: Counter[str] = Counter()

        def begin(self, what: str) -> int:
            """Returns how often it has begun."""
            self._counts[what] += 1
            return self._counts[what]

    return ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1)(Attempts).remote()


class _Worker:
    """What runs in each process that predicts: it has the SavedModel in memory.

    Args:
        model: The folder of the SavedModel.
        reading: How image files are read.
        filesystem: Where predictions are written.
        folder: The folder there.
        num_threads: Threads that an operation of TensorFlow runs on.
        attempts: What `_attempts` started.
    """

    def __init__(
        self,
        model: Path,
        reading: ImageReading,
        filesystem: Any,
        folder: str,
        num_threads: int,
        attempts: Any,
    ) -> None:
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(num_threads)
        for gpu in tf.config.list_physical_devices("GPU"):
            tf.config.experimental.set_memory_growth(gpu, True)  # others may share it
        predictor = open_predictor(model)
        assert isinstance(predictor, SavedModelPredictor)
        self._predictor, self._reading = predictor, reading
        self._filesystem, self._folder = filesystem, folder
        self._attempts = attempts

    def __call__(self, batch: Any) -> Any:
        """Predicts the files of a batch; returns the error of each, "" for none."""
        import pyarrow as pa

        images, contents, errors = (batch[name] for name in ("image", "content", "error"))
        files = [
            _files(self._predictor.heads, self._folder, name) for name in batch["name"].to_pylist()
        ]
        # A batch whose worker ended is given to another one, again and again.
        is_repeated = self._begin(f"batch of {images[0]}") > 1
        try:
            missing = set(missing_of(self._filesystem, [f for of in files for f in of.values()]))
        except OSError as error:
            errors = [f"{image}: {error}" for image in images]
        results = [
            str(error) or self._error_of(str(image), content, of_image, missing, is_repeated)
            for image, content, error, of_image in zip(images, contents, errors, files, strict=True)
        ]
        return pa.table({"image": images, "error": pa.array(results, pa.string())})

    def _begin(self, what: str) -> int:
        import ray

        return ray.get(self._attempts.begin.remote(what))

    def _error_of(
        self,
        image: str,
        content: Any,
        files: Mapping[str, str],
        missing: set[str],
        is_repeated: bool,
    ) -> str:
        """Writes the files of an image that are missing; returns what was wrong."""
        if not missing.intersection(files.values()):
            return ""  # by an earlier attempt
        if is_repeated and self._begin(image) > _RETRIES:
            return (
                f"{image}: the worker ended {_RETRIES} times while it predicted this file, for "
                "example for lack of memory."
            )
        try:
            for head, labels in self._predictions(image, content.as_py()).items():
                if files[head] in missing:
                    mask = BytesIO()
                    label_image(labels, self._predictor.heads[head]).save(mask, "PNG")
                    write_stored(self._filesystem, files[head], mask.getvalue())
        except Exception as error:  # one file must not end the work of days
            is_ours = isinstance(error, OSError | ValueError)
            text = str(error) if is_ours else first_line(error)
            return text if image in text else f"{image}: {text}"
        return ""

    def _predictions(self, image: str, content: bytes) -> dict[str, np.ndarray]:
        """Returns the predictions of each head, as plain `predict` finds them."""
        import tensorflow as tf

        if self._reading == RGB and (size := _size_if_decoded_alike(content)):
            self._predictor.check_size(*size)
            # Else reading it says what is wrong.
            with suppress(tf.errors.InvalidArgumentError):
                return self._predictor.encoded(content)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, Path(image).name)
            path.write_bytes(content)
            try:
                pixels = read_image(path, self._reading)
            except ValueError as error:
                raise ValueError(str(error).replace(str(path), image)) from error
        self._predictor.check_size(*pixels.shape[:2])
        png = BytesIO()
        Image.fromarray(pixels).save(png, "PNG", compress_level=0)
        return self._predictor.encoded(png.getvalue())


def _size_if_decoded_alike(content: bytes) -> tuple[int, int] | None:
    """Returns height and width of a file of which `encoded` sees the pixels of `read_image`.

    That is a JPEG or PNG of one frame that is not turned by an EXIF orientation; else None.
    """
    try:
        with Image.open(BytesIO(content)) as image:
            if image.format == "PNG":
                is_alike = not (
                    getattr(image, "is_animated", False)
                    or any(mark in content for mark in _TURNS_PNG)
                )
            else:
                is_alike = image.format in ("JPEG", "MPO") and orientation_of(image) == 1
            return (image.height, image.width) if is_alike else None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return None  # reading it says what is wrong
