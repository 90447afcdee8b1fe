import numpy as np
import pytest
from keras_fcn_benchmark.candidates import CANDIDATES, Candidate
from keras_fcn_benchmark.exported_models import ExportedModels, ExportError
from keras_fcn_benchmark.measurement import _rounds, benchmark
from keras_fcn_benchmark.network import Comparison, Network
from keras_fcn_benchmark.worker import WorkerError

from keras_fcn.backbones import TappedModel

from ..helpers import LABELS, TAPS, picture, tiny_layers, tiny_model


def test_candidates_have_names_of_their_own_and_are_skipped_by_package():
    names = [candidate.name for candidate in CANDIDATES]

    assert len(set(names)) == len(names)
    absent = Candidate(
        "x", "x", "x", "float32", "predictions", packages=("json", "no_such_package")
    )
    assert absent.missing == "no_such_package"
    assert CANDIDATES[0].missing is None


class ScriptedWorker:
    """Stands for a child: gives the seconds of each call, and fails when there are no more."""

    def __init__(self, *seconds):
        self._seconds = list(seconds)

    def call(self, method, num_calls):
        assert method == "time"
        if not self._seconds:
            raise WorkerError("The process ended.\nIts last line: none")
        return [self._seconds.pop(0)] * num_calls


def test_a_candidate_that_fails_in_a_round_is_skipped_and_the_others_go_on():
    workers = {"steady": ScriptedWorker(0.2, 0.1, 0.3), "dies": ScriptedWorker(9.0, 9.0)}
    skipped = {}

    rounds = _rounds(workers, 2, skipped, lambda line: None)

    # One call of 0.2 s before the rounds: two calls fit into the 0.4 s of a round.
    assert rounds["steady"] == ((0.1, 0.1), (0.3, 0.3))
    assert skipped == {"dies": "The process ended."}


def test_the_baseline_must_run():
    with pytest.raises(WorkerError, match="The process ended"):
        _rounds({"keras-float32": ScriptedWorker()}, 1, {}, lambda line: None)


# Each takes a process of its own, and another for its file; these differ from others in a number.
ALIKE = {
    "savedmodel-scores",
    "savedmodel-bfloat16",
    "tflite-float16",
    "tflite-dynamic",
    "pytorch-bfloat16",
}


@pytest.mark.full
def test_candidates_of_each_kind_run_and_agree(tmp_path):
    path = tmp_path / "tiny.keras"
    # Of Keras layers alone: other processes open it, which do not know the class `Tiny`.
    backbone = TappedModel(tiny_layers(), taps=TAPS, fc_filters=8, normalization="tf")
    tiny_model(backbone=backbone).save(path)
    pictures = [picture(64, 96, seed) for seed in range(100)]
    exported_models = ExportedModels(
        path, tmp_path / "files", (64, 96), lambda: pictures, "pictures"
    )
    labels = [np.zeros((30, 40), "uint8")] * 2
    comparison = Comparison(np.stack(pictures[:2]), labels, LABELS, "pictures")
    network = Network("tiny", exported_models, 1e6, comparison)
    absent = Candidate("absent", "x", "x", "float32", "predictions", ("no_such_package",))
    broken = Candidate("broken", "predictor", "no-such-kind", "float32", "predictions")
    unopened = Candidate("unopened", "encoded", "keras", "float32", "PNG files")
    chosen = [candidate for candidate in CANDIDATES if candidate.name not in ALIKE]
    said: list[str] = []

    measured = benchmark(
        network, num_threads=1, candidates=[*chosen, absent, broken, unopened], say=said.append
    )  # fmt: skip

    installed = [c.name for c in chosen if c.missing is None]
    assert [r.name for r in measured.rows] == installed
    assert measured.skipped["absent"] == "no_such_package is not installed"
    assert "no-such-kind" in measured.skipped["broken"]
    assert "tiny.keras" in measured.skipped["unopened"]
    assert {len(r.rounds) for r in measured.rows} == {5}
    for r in measured.rows:
        lowest = 0.7 if r.precision == "int8" else 0.95
        assert r.equal_predictions >= lowest, r.name
        assert r.mean_iou is not None
    with pytest.raises(ExportError, match="no-such-kind"):
        exported_models.path("no-such-kind")
    assert not list((tmp_path / "files").rglob(".incomplete*"))
