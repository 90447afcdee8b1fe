from importlib import import_module

import pytest
from keras_fcn_benchmark.scripts import loss_and_metric

SCRIPTS = ("bulk", "inference_forms", "loss_and_metric", "overfit", "pipeline", "plans",
           "prediction", "quantization", "training_step")  # fmt: skip


@pytest.mark.parametrize("name", SCRIPTS)
def test_scripts_say_what_they_measure(capsys, name):
    script = import_module(f"keras_fcn_benchmark.scripts.{name}")

    with pytest.raises(SystemExit) as ended:
        script.main(["--help"])

    assert ended.value.code == 0
    first_line = script.__doc__.splitlines()[0]
    assert first_line in " ".join(capsys.readouterr().out.split())
    assert f"python -m keras_fcn_benchmark.scripts.{name}" in script.__doc__


def test_loss_and_metric_are_timed_beside_those_of_keras(capsys):
    loss_and_metric.main(["--shape", "1", "8", "8", "3", "--rounds", "1"])

    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" ms")[0].rsplit(None, 2)[0] for line in lines] == [
        "Keras loss", "Keras metric", "loss", "metric"
    ]  # fmt: skip
