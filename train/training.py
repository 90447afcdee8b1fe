"""The training of a network from a configuration."""

import platform
import sys
from collections.abc import Collection
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import keras

from keras_fcn.confusion_matrix import METRIC_NAMES
from keras_fcn.datasets import SegmentationDataset
from keras_fcn.metrics import SegmentationMetrics
from keras_fcn.models import FCN

from .backend import check_backend, is_jax
from .callbacks import (
    Checkpoints,
    CsvLog,
    Curves,
    MeanOverHeads,
    SaveConfig,
    SaveState,
    StopOnDivergence,
    StopOutOfPatience,
    StopOutOfTime,
    TensorBoardLog,
    Tracker,
    Validation,
    ValidationStrip,
    WarnOfOneClass,
)
from .changed_data import accept_changes, find_changes
from .config import Config, RunConfig
from .data import TrainingData
from .devices import Devices, be_deterministic, keep_data_off_gpus, keep_freed_memory
from .evaluation_model import EvaluationModel
from .heads import compile_heads, head_losses, head_metrics, loss_metrics
from .hosts import ALONE, Hosts
from .interrupts import Interrupts
from .model import STRIDES, build_backbone, build_network
from .moving_average import AverageWeights, MovingAverage
from .optimizers import build_optimizer
from .plan import Plan
from .rates import rate_warning
from .recipes import check_needs
from .smoke import smoke_config
from .starts import fill, find_start
from .state import Position, State
from .terminal import printable
from .workdir import Workdir, locked_workdir, settings_of_hosts, with_settings_of


@dataclass(frozen=True)
class TrainingResult:
    """The results of a training.

    Args:
        workdir: The folder with all its files.
        best: The network with the best mean IoU, a `.keras` file.
        last: The network after the last epoch.
        best_epoch: The epoch of `best`, counted from 1.
        metrics: The loss and the metrics of `best` on the validation split, by name; on the
            training split if there is no validation.
        log: One dictionary of quantities per epoch, as in `log.csv`.
    """

    workdir: Path
    best: Path
    last: Path
    best_epoch: int
    metrics: dict[str, float]
    log: list[dict[str, float]] = field(repr=False)


def fit(
    config: Config,
    dataset: SegmentationDataset | None = None,
    plan: Plan | None = None,
    hosts: Hosts = ALONE,
) -> TrainingResult:
    """Trains the network that a configuration describes.

    The workdir then contains `best.keras` and `last.keras`, `config.json`, the
    log as `log.csv`, `curves.png` and `tensorboard/`, and in `state/` what
    `resume` needs.

    Args:
        config: All settings.
        dataset: The dataset, if `config.data.dataset` is the name of your own dataset
            (`keras_fcn.datasets.from_arrays`), which `open_dataset` cannot open.
        plan: The plan that the configuration follows, to be kept in the workdir.
        hosts: The hosts that train together, on JAX, each in a process that calls this with the
            same arguments before anything else runs on JAX. The first one writes the files; the
            others need no workdir.

    Raises:
        ValueError: If settings contradict each other, the data or the workdir, another
            training runs in the workdir, or the data changed since the training that is to resume.
        TrainingInterrupted: After Ctrl-C, with the state saved.
        TrainingDiverged: If the loss is no longer finite.
    """
    check_backend(several_hosts=hosts.count > 1)
    keep_freed_memory()
    keep_data_off_gpus()
    if config.run.smoke:
        config = smoke_config(config)
    elif not config.run.resume:
        check_needs(config)
    with hosts.connected():
        if hosts.count > 1 and config.run.resume:  # only the first host has the settings
            config = with_settings_of(Config.from_json(hosts.share_text(config.to_json())), config)
        with _workdir_on(hosts, config) as workdir:
            return _train(config, dataset, workdir, plan, hosts)


def _workdir_on(hosts: Hosts, config: Config) -> AbstractContextManager[Workdir]:
    """Returns the context with the folder of a training, which only the first host has."""
    if hosts.is_first:
        return locked_workdir(config)
    return nullcontext(Workdir(Path(config.run.workdir)))


def _train(
    config: Config,
    dataset: SegmentationDataset | None,
    workdir: Workdir,
    plan: Plan | None,
    hosts: Hosts,
) -> TrainingResult:
    _check_hosts(config, hosts)
    keras.utils.set_random_seed(config.run.seed)
    if config.run.deterministic:
        be_deterministic()
    is_resumed = bool(hosts.first(config.run.resume and workdir.state.is_file()))
    backbone = build_backbone(config.backbone)
    # Before anything that takes long: weights that are missing stop a training at once.
    start = None if is_resumed else find_start(config.model, config.backbone, backbone)
    data = open_data(config, dataset, hosts)
    bands = data.band_statistics()
    fingerprint, changes = find_changes(data, config, workdir)
    if hosts.count > 1:
        hosts.check_same("data", fingerprint.content)
    devices = Devices(
        config.run.devices,
        batch_size=config.data.batch_size,
        gradient_accumulation_steps=config.optimizer.gradient_accumulation_steps,
    )
    with devices.scope():
        network = build_network(config.model, backbone, data.heads, bands)
        # The state of a training contains its weights, and which of them were pretrained.
        source, pretrained = f"Weights: the state in {workdir.state}", frozenset[int]()
        if start:
            source, pretrained = fill(network, config.model, start)
        metrics = compile_network(network, config, data, pretrained)
    decay = config.optimizer.ema_decay
    with devices.run_scope():
        average = MovingAverage(network, decay) if decay else None
    batches = data.batchnorm_batches(config.optimizer.batchnorm_batches)
    evaluation_model = EvaluationModel(
        network, data.heads, average, batches, config.loss.name, hosts
    )
    variables = _variables(network, metrics, average, evaluation_model)
    state = State(workdir.state, variables, fingerprint, hosts)
    position = Position()
    if is_resumed:
        # The metrics follow when `fit` has reset them.
        position = state.restore("model", "optimizer", "average", "evaluation")
        if changes:
            position, text = accept_changes(
                changes,
                position,
                data=data,
                config=config,
                workdir=workdir,
                state=state,
                optimizer=network.optimizer,
                evaluation_model=evaluation_model,
                origin=lambda logs: _origin(config, logs),
            )
            print(printable(text))
        _check_step(position, data.steps_per_epoch, workdir)
    if hosts.is_first:
        _describe(config, data, _summary(config, data, devices, position), source)

    tracker = Tracker(position, data.steps_per_epoch, config.data.batch_size)
    monitor = "val_mean_iou" if config.data.validation_split else "mean_iou"
    log = CsvLog(workdir.log if hosts.is_first else None, position.epoch)
    guard = StopOnDivergence(config, workdir, tracker)
    settings = SaveConfig(workdir, config, plan)
    with Interrupts() as interrupts:
        # The order matters: measure, check, validate, write, and save the state last.
        callbacks = [
            tracker,
            guard,
            MeanOverHeads(data.heads),
            *([AverageWeights(average)] if average else []),
            *_validation(evaluation_model, data, config, tracker, hosts),
            *([settings] if hosts.is_first else []),
            Checkpoints(
                evaluation_model, workdir, tracker, monitor, lambda logs: _origin(config, logs)
            ),
            StopOutOfPatience(tracker, config.run, monitor),
            StopOutOfTime(tracker, config.run, monitor, hosts),
            log,
            *(_pictures(evaluation_model, data, workdir, monitor) if hosts.is_first else []),
            SaveState(state, settings, tracker, guard, interrupts, config.run, hosts),
        ]
        with devices.run_scope():
            _run(network, data, config.run, tracker, callbacks, hosts)
    if tracker.stopped:
        print(printable(f"Stopped after {tracker.epoch} epochs: {tracker.stopped}."))
    return _result(workdir, log.rows, monitor)


def _check_hosts(config: Config, hosts: Hosts) -> None:
    """Raises ValueError if the settings do not fit a training on several hosts."""
    if hosts.count == 1:
        return
    if config.data.crop_size is None:
        raise ValueError(
            "`crop_size` must be given for several hosts, whose parts of a batch must have one "
            "size. Received: crop_size=None. Choose one, such as --crop 384x384."
        )
    if config.run.accept_changed_data:
        raise ValueError(
            "`accept_changed_data` needs a single host. Resume with it and without --hosts, press "
            "Ctrl-C after the first step, and go on with --resume on all hosts."
        )
    hosts.check_same("settings", settings_of_hosts(config))
    hosts.check_same("versions", repr(_versions()))


def _describe(config: Config, data: TrainingData, summary: str, source: str) -> None:
    for line in (*data.description, summary, source):
        print(printable(line))
    if warning := rate_warning(
        config.optimizer,
        config.loss.reduction,
        batch_size=config.data.batch_size,
        pixels=data.pixels,
    ):
        print(printable(f"Warning: {warning}"), file=sys.stderr)


def open_data(
    config: Config, dataset: SegmentationDataset | None = None, hosts: Hosts = ALONE
) -> TrainingData:
    """Returns the data of a configuration; see `fit`."""
    return TrainingData(
        config.data,
        config.augmentation,
        modalities=config.model.modalities or (),
        cell_size=STRIDES[config.model.variant],
        seed=config.run.seed,
        shard=hosts.shard,
        dataset=dataset,
    )


def compile_network(
    network: FCN, config: Config, data: TrainingData, pretrained: Collection[int] = ()
) -> dict[str, SegmentationMetrics]:
    """Gives the network its losses, metrics and optimizer.

    Args:
        network: The network.
        config: All settings.
        data: The data.
        pretrained: Positions of its pretrained variables among the trainable ones.

    Returns:
        The metrics by head.
    """
    optimizer = build_optimizer(
        config.optimizer,
        config.run.epochs * data.steps_per_epoch,
        network.trainable_variables,
        config.backbone.name,
        pretrained,
    )
    weights = data.class_weights(config.loss)
    arguments = {head: {"class_weights": values} for head, values in weights.items()}
    losses = head_losses(data.heads, config.loss.name, config.loss.reduction, arguments)
    metrics = head_metrics(data.heads)
    # Without it JAX would run each operation by itself.
    jit_compile = config.run.jit_compile or is_jax()
    compile_heads(
        network, data.heads, losses, metrics, optimizer=optimizer, jit_compile=jit_compile
    )
    return metrics


def _validation(
    evaluation_model: EvaluationModel,
    data: TrainingData,
    config: Config,
    tracker: Tracker,
    hosts: Hosts,
) -> list[keras.callbacks.Callback]:
    batches = data.validation_batches()
    if batches is None:
        return []
    callbacks: list[keras.callbacks.Callback] = [
        Validation(evaluation_model, batches, config.run, tracker)
    ]
    if hosts.is_first and not config.run.smoke:  # after a few steps this is expected
        callbacks.append(WarnOfOneClass(evaluation_model, config, tracker))
    return callbacks


def _pictures(
    evaluation_model: EvaluationModel, data: TrainingData, workdir: Workdir, monitor: str
) -> list[keras.callbacks.Callback]:
    examples = data.shown_examples()
    return [
        TensorBoardLog(workdir.tensorboard),
        Curves(workdir),
        *([ValidationStrip(evaluation_model, examples, workdir, monitor)] if examples else []),
    ]


def _check_step(position: Position, steps_per_epoch: int, workdir: Workdir) -> None:
    """Raises ValueError if a position cannot be that of these data: it would never end."""
    if position.step and position.step >= steps_per_epoch:
        raise ValueError(
            f"{workdir.state} was saved after {position.step} steps of an epoch, which has "
            f"{steps_per_epoch}: it is damaged. Restore it, or start a new training from its "
            f"weights: --init {workdir.last}, with another --workdir."
        )


def _run(
    network: FCN,
    data: TrainingData,
    run: RunConfig,
    tracker: Tracker,
    callbacks: list[Any],
    hosts: Hosts,
) -> None:
    """Calls `network.fit` once, or twice where the training starts inside an epoch.

    The tracker ends the first call with that epoch, which has fewer steps.
    """
    while not tracker.is_over(run):
        network.fit(
            data.training_batches(tracker.global_step),
            initial_epoch=tracker.epoch,
            epochs=run.epochs,
            steps_per_epoch=data.steps_per_epoch - tracker.step,
            callbacks=callbacks,
            shuffle=False,
            # A bar needs a terminal; elsewhere one line per epoch.
            verbose=0 if not hosts.is_first else 1 if sys.stdout.isatty() else 2,
        )


def _variables(
    network: FCN,
    metrics: dict[str, SegmentationMetrics],
    average: MovingAverage | None,
    evaluation_model: EvaluationModel,
) -> dict[str, list[Any]]:
    # Before the first step `network.metrics_variables` lacks those of the confusion matrices.
    every = [*loss_metrics(network), *metrics.values()]
    return {
        "model": network.variables,
        "optimizer": network.optimizer.variables,
        "metrics": [v for metric in every for v in metric.variables],
        "average": average.variables if average else [],
        "evaluation": evaluation_model.seeds,
    }


def _summary(config: Config, data: TrainingData, devices: Devices, position: Position) -> str:
    text = (
        f"{config.model.variant} on {config.backbone.name}, {data.dataset.name}: "
        f"{data.num_examples} training images, {config.run.epochs} epochs of "
        f"{data.steps_per_epoch} steps, on {', '.join(devices.names)}{' with JAX' * is_jax()}."
    )
    if position != Position():
        text += f" Resumed after {position.epoch} epochs and {position.step} steps."
    return text


def _origin(config: Config, logs: dict[str, float]) -> dict[str, Any]:
    """Returns the origin that is saved with a network."""
    return {
        "recipe": config.run.recipe,
        "dataset": config.data.dataset,
        "metrics": _metrics(logs),
        "config": config.to_dict(),
        "versions": _versions(),
    }


def _metrics(logs: dict[str, float]) -> dict[str, float]:
    """Returns the validation metrics among the logs, else the training metrics."""
    prefix = "val_" if "val_mean_iou" in logs else ""
    return {
        name.removeprefix(prefix): float(value)
        for name, value in logs.items()
        if name.startswith(prefix) and name.endswith((*METRIC_NAMES, "loss"))
    }


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in ("keras_fcn", "keras", "tensorflow", *(["jax"] if is_jax() else [])):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "unknown"
    return found


def _result(workdir: Workdir, rows: list[dict[str, float]], monitor: str) -> TrainingResult:
    validated = [row for row in rows if monitor in row]
    best = max(validated, key=lambda row: row[monitor], default={"epoch": -1.0})
    return TrainingResult(
        workdir=workdir.path,
        best=workdir.best,
        last=workdir.last,
        best_epoch=int(best["epoch"]) + 1,
        metrics=_metrics(best),
        log=rows,
    )
