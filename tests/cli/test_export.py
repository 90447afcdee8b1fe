import pytest

from keras_fcn.prediction import open_predictor


@pytest.mark.parametrize("kind", ["savedmodel", "tflite"])
def test_an_artifact_is_written_and_compared(run, channel_model, photos, tmp_path, kind):
    path = tmp_path / ("m.tflite" if kind == "tflite" else "served")

    result = run(
        "export", "--model", channel_model, "--format", kind, "--output", path,
        "--dataset", f"folder:{photos}", "--images", "2",
    )  # fmt: skip

    assert result.exit_code == 0, result.stderr
    assert "against its model on 2 images" in " ".join(result.stdout.split())
    assert "Passed" in result.stdout
    assert open_predictor(path).format == kind


def test_without_its_data_set_it_is_compared_on_the_sample(run, channel_model, tmp_path):
    result = run(
        "export", "--model", channel_model, "--format", "tflite", "--output", "m.tflite",
        "--size", "32x48", "--output-type", "logits", "--images", "1",
    )  # fmt: skip

    # The sample has seven classes, the network three.
    assert "compared on the built-in sample" in result.stdout
    assert open_predictor(tmp_path / "m.tflite").fixed_size == (32, 48)


def test_a_file_for_mediapipe_outputs_logits(run, channel_model, tmp_path):
    pytest.importorskip("mediapipe")

    result = run(
        "export", "--model", channel_model, "--format", "tflite", "--output", "m.tflite",
        "--for", "mediapipe", "--size", "32x48", "--images", "1",
    )  # fmt: skip

    assert result.exit_code == 0, result.stderr
    assert "Passed" in result.stdout
    # That MediaPipe opens it is in tests/export/test_mediapipe.py.
    predictor = open_predictor(tmp_path / "m.tflite")
    assert predictor.fixed_size == (32, 48) and predictor.has_logits


def test_the_comparison_can_be_left_out(run, channel_model, tmp_path):
    result = run(
        "export", "--model", channel_model, "--format", "savedmodel", "--output", tmp_path / "s",
        "--no-verify",
    )  # fmt: skip

    assert result.stdout == f"Written: {tmp_path / 's' / '1'}\n"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--format", "tflite", "--quantize", "int8"], "--quantize int8 needs --calibration"),
        (["--format", "tflite", "--calibration", "sample"], "--quantize int8 needs --calibration"),
        (["--format", "savedmodel", "--quantize", "float16"], "are for --format tflite"),
        (["--format", "onnx", "--precision", "bfloat16"], "are for --format savedmodel"),
        (["--format", "onnx", "--for", "mediapipe"], "are for --format tflite"),
        (["--format", "tflite", "--for", "mediapipe"], "--for mediapipe needs --size HxW"),
        (
            "--format tflite --for mediapipe --size 8x8 --output-type predictions".split(),
            "--for mediapipe needs --size HxW and outputs logits",
        ),
    ],
)
def test_options_that_contradict_each_other_are_wrong_usage(run, channel_model, arguments, text):
    result = run("export", "--model", channel_model, "--output", "o.tflite", *arguments)

    assert result.exit_code == 2
    assert text in " ".join(result.stderr.split())


def test_only_keras_files_are_exported(run):
    result = run("export", "--model", "m.tflite", "--format", "tflite", "--output", "o.tflite")

    assert result.exit_code == 2
    assert "--model must be a .keras file" in result.stderr


def test_a_failed_comparison_makes_the_status_1(run, channel_model, photos, monkeypatch):
    from keras_fcn_export.report import VerificationReport

    monkeypatch.setattr(VerificationReport, "passed", False)

    result = run(
        "export", "--model", channel_model, "--format", "savedmodel", "--output", "s",
        "--dataset", f"folder:{photos}", "--images", "1",
    )  # fmt: skip

    assert result.exit_code == 1
    assert "differs from its model" in result.stderr


@pytest.mark.parametrize(
    ("output", "dataset", "text"),
    [
        ("m.tflite", "folder:nowhere", "nowhere: there is no such folder"),
        ("notes.txt/m.tflite", "sample", "notes.txt is a file, not a folder"),
    ],
)
def test_nothing_is_written_where_the_comparison_or_the_file_cannot_be(
    run, channel_model, tmp_path, output, dataset, text
):
    (tmp_path / "notes.txt").touch()

    result = run(
        "export", "--model", channel_model, "--format", "tflite", "--output", output,
        "--dataset", dataset,
    )  # fmt: skip

    assert result.exit_code == 1
    assert text in " ".join(result.stderr.split())
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
