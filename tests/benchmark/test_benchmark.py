import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from keras_fcn_benchmark.artifacts import ArtifactError, Artifacts
from keras_fcn_benchmark.candidates import CANDIDATES, Candidate
from keras_fcn_benchmark.description import describe_network
from keras_fcn_benchmark.machine import describe_machine
from keras_fcn_benchmark.measurement import Comparison, benchmark
from keras_fcn_benchmark.process import Worker, WorkerError
from keras_fcn_benchmark.report import BenchmarkReport, Row, Section
from keras_fcn_benchmark.writing import write_report
from keras_fcn_export import export_tflite
from PIL import Image

import keras_fcn
from keras_fcn.backbones import create

from ..export.export_samples import picture, tiny_model


def row(name: str, *rounds: tuple[float, ...]) -> Row:
    return Row(name, "labels", "float32", rounds, 1_000_000, 2_000_000, 0.5)


def section(**changes: object) -> Section:
    rows = (
        # The machine is three times slower in the second round, for all.
        row("keras-float32", (0.4, 0.4), (1.2, 1.2), (0.5, 0.3)),
        row("tflite-int8", (0.1, 0.1), (0.3, 0.3), (0.05, 0.05)),
    )
    defaults = {
        "model": "tiny",
        "size": (64, 96),
        "num_threads": 2,
        "operations": 8e9,
        "product_operations": 4e9,
        "product_rounds": {"float32": ((0.1,), (0.3,), (0.1,))},
        "rows": rows,
        "skipped": {"openvino": "openvino is not installed"},
        "num_compared": 3,
        "dataset": "sample",
    }
    return Section(**{**defaults, **changes})


def test_ratios_are_taken_within_a_round():
    measured = section()
    fast = measured.row("tflite-int8")

    ratio = measured.times_faster(fast, "keras-float32")

    assert (ratio.median, ratio.low, ratio.high) == pytest.approx((4, 4, 8))
    assert measured.times_faster(fast, "pytorch-float32") is None


def test_the_share_of_the_peak_counts_operations_a_second():
    measured = section()

    # 8 G in 0.4 s are 20 G/s; the product does 4 G in 0.1 s: 40 G/s.
    assert measured.share_of_peak(measured.row("keras-float32")).median == pytest.approx(0.5)
    assert measured.peak("float32") == pytest.approx(40e9)


def test_latency_is_the_median_and_the_95th_of_100_calls():
    calls = tuple(float(number) for number in range(1, 101))

    timed = row("any", calls)

    assert timed.latency == 50.5
    assert timed.latency_p95 == 95.0


def test_reports_are_written_read_and_continued(tmp_path):
    report = BenchmarkReport({"processor": "any"}, [section()])

    write_report(report, tmp_path)
    again = BenchmarkReport.read(tmp_path / "benchmark.json")
    again.add(section(dataset="camvid"))
    again.add(section(num_threads=1))

    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "benchmark.json", "benchmark.png", "benchmark.txt"
    ]  # fmt: skip
    assert [s.title for s in again.sections] == ["tiny, 64x96, 2 threads", "tiny, 64x96, 1 thread"]
    assert again.sections[0] == replace(section(), dataset="camvid")
    text = (tmp_path / "benchmark.txt").read_text()
    assert "4.00 (4.00-8.00)" in text
    assert "Skipped: openvino: openvino is not installed" in text
    values = json.loads((tmp_path / "benchmark.json").read_text())["sections"][0]["rows"][1]
    assert values["times_faster_than_keras"]["median"] == pytest.approx(4)
    with Image.open(tmp_path / "benchmark.png") as image:
        assert image.width > 300


def test_another_file_is_no_report(tmp_path):
    (tmp_path / "metrics.json").write_text('{"mean_iou": 1}')

    with pytest.raises(ValueError, match="must be the JSON that `keras-fcn benchmark` wrote"):
        BenchmarkReport.read(tmp_path / "metrics.json")


def test_the_machine_is_described_by_what_decides_speed(tmp_path):
    (tmp_path / "cpuinfo").write_text("model name\t: Fast CPU\nflags\t\t: fpu avx2 avx512_bf16\n")

    machine = describe_machine(tmp_path / "cpuinfo")

    assert machine["processor"].startswith("Fast CPU, ")
    assert machine["instructions"] == "avx2 avx512_bf16"
    assert "tensorflow 2." in machine["versions"]


def test_candidates_have_names_of_their_own_and_are_skipped_by_package():
    names = [candidate.name for candidate in CANDIDATES]

    assert len(set(names)) == len(names)
    absent = Candidate("x", "x", "x", "float32", "labels", packages=("json", "no_such_package"))
    assert absent.missing == "no_such_package"
    assert CANDIDATES[0].missing is None


def test_a_worker_holds_no_tensorflow_unless_its_candidate_does():
    code = "import sys, keras_fcn_benchmark.worker; print('tensorflow' in sys.modules)"

    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)

    assert result.stdout.strip() == "False", result.stderr


def test_a_worker_runs_times_and_answers_labels(model, tmp_path):
    path = export_tflite(model, tmp_path / "m.tflite", size=(32, 64))
    images = np.stack([picture(32, 64, seed) for seed in range(2)])
    np.save(tmp_path / "images.npy", images)
    np.save(tmp_path / "one.npy", images[:1])

    with Worker("tflite", path, num_threads=1) as worker:
        worker.take_images(tmp_path / "one.npy")
        seconds = worker.time(3)
        worker.write_labels(tmp_path / "images.npy", tmp_path / "labels.npy")
        memory = worker.peak_bytes()

    assert len(seconds) == 3
    assert all(0 < value < 10 for value in seconds)
    assert 10e6 < memory < 500e6
    expected = model.predict(images, verbose=0).argmax(-1)
    assert np.mean(np.load(tmp_path / "labels.npy") == expected) > 0.99


def test_a_worker_says_why_it_could_not_open(tmp_path):
    (tmp_path / "broken.tflite").write_bytes(b"nothing")

    with pytest.raises(WorkerError, match="ValueError"):
        Worker("tflite", tmp_path / "broken.tflite", num_threads=1)


@pytest.mark.parametrize("name", ["vgg16", "mobilenet_v2"])
def test_pytorch_computes_the_same_network(tmp_path, name):
    pytest.importorskip("torch")
    from keras_fcn_benchmark.torch_network import TorchNetwork

    # Wide enough for strided convolutions, narrow enough to be quick.
    alpha, options = {"vgg16": (0.1, {"fc_filters": 8}), "mobilenet_v2": (0.35, {})}[name]
    model = keras_fcn.FCN8s(3, backbone=create(name, alpha=alpha, **options))
    random = np.random.default_rng(0)
    for layer in model.layers:
        if layer.name.startswith("score_"):
            layer.set_weights([random.normal(0, 1, w.shape) for w in layer.get_weights()])
    images = np.stack([picture(45, 70, seed) for seed in range(2)])
    expected = model.predict(images, verbose=0)

    import torch

    network = TorchNetwork.load(describe_network(model, tmp_path))
    scores = network(torch.from_numpy(images)).numpy()

    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, expected, atol=1e-4 * np.abs(expected).max())


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
    tiny_model().save(path)
    pictures = [picture(64, 96, seed) for seed in range(100)]
    artifacts = Artifacts(path, tmp_path / "files", (64, 96), lambda: pictures, "pictures")
    labels = [np.zeros((30, 40), "uint8")] * 2
    comparison = Comparison(np.stack(pictures[:2]), labels, 4, 255, "pictures")
    absent = Candidate("absent", "x", "x", "float32", "labels", packages=("no_such_package",))
    broken = Candidate("broken", "tflite", "no-such-kind", "float32", "labels")
    chosen = [candidate for candidate in CANDIDATES if candidate.name not in ALIKE]
    said: list[str] = []

    measured = benchmark(
        artifacts, "tiny", 1e6, comparison, num_threads=1,
        candidates=[*chosen, absent, broken], say=said.append,
    )  # fmt: skip

    installed = [c.name for c in chosen if c.missing is None]
    assert [r.name for r in measured.rows] == installed
    assert measured.skipped["absent"] == "no_such_package is not installed"
    assert "no-such-kind" in measured.skipped["broken"]
    assert {len(r.rounds) for r in measured.rows} == {5}
    for r in measured.rows:
        lowest = 0.7 if r.precision == "int8" else 0.95
        assert r.equal_labels >= lowest, r.name
        assert r.mean_iou is not None
    with pytest.raises(ArtifactError, match="no-such-kind"):
        artifacts.path("no-such-kind")
    assert not list((tmp_path / "files").rglob(".unfinished-*"))
