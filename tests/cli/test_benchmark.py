import json

import pytest

from keras_fcn.files import WrittenFiles


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["m.keras", "--candidate", "caffe"], "--candidate must be one of keras-float32, keras-b"),
        (["m.keras", "--rounds", "4"], "4 is not in the range x>=5"),
        (["photo.png"], "--model must be a .keras file. Received: photo.png"),
    ],
)
def test_wrong_usage_is_explained_before_anything_is_measured(run, tmp_path, arguments, text):
    for name in ("photo.png", "m.keras"):
        (tmp_path / name).write_bytes(b"")

    result = run("benchmark", "--output", "o", "--artifacts", "a", "--model", *arguments)

    assert result.exit_code == 2
    assert text in " ".join(result.stderr.split())
    assert not (tmp_path / "o").exists()


def test_results_of_another_machine_are_not_mixed_in(run, tmp_path):
    (tmp_path / "m.keras").write_bytes(b"")
    (tmp_path / "benchmark.json").write_text(json.dumps({"machine": {}, "sections": []}))
    WrittenFiles().add(tmp_path / "benchmark.json")

    result = run("benchmark", "--model", "m.keras", "--output", ".", "--artifacts", "a")

    assert result.exit_code == 2
    assert "was measured on another machine" in " ".join(result.stderr.split())
