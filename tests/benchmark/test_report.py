import json
from dataclasses import replace

import pytest
from keras_fcn_benchmark.presentation import report_text, write_report
from keras_fcn_benchmark.report import BenchmarkReport, Row, Section, describe_machine
from PIL import Image


def row(name: str, *rounds: tuple[float, ...]) -> Row:
    return Row(name, "predictions", "float32", rounds, 1_000_000, 2_000_000, 0.5)


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
        "matmul_operations": 4e9,
        "matmul_rounds": {"float32": ((0.1,), (0.3,), (0.1,))},
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


def test_operations_per_second_are_relative_to_the_matrix_product():
    measured = section()

    # 8 G in 0.4 s are 20 G/s; the product does 4 G in 0.1 s: 40 G/s.
    relative = measured.relative_to_matmul(measured.row("keras-float32"))
    assert relative.median == pytest.approx(0.5)
    assert measured.matmul_rate("float32") == pytest.approx(40e9)
    # A product that could not be measured is no reason to have no report.
    without = section(matmul_rounds={})
    assert without.relative_to_matmul(without.row("keras-float32")) is None
    assert "not measured" in report_text(BenchmarkReport({}, [without]))


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
    assert "relative to matmul" in " ".join(text.split())
    values = json.loads((tmp_path / "benchmark.json").read_text())["sections"][0]["rows"][1]
    assert values["name"] == "tflite-int8"
    assert values["times_faster_than_keras"]["median"] == pytest.approx(4)
    # 8 G in 0.1 s are 80 G/s, twice the product's 40 G/s.
    assert values["relative_to_matmul"]["median"] == pytest.approx(2)
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
