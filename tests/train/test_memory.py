import os

from keras_fcn_train.memory import keep_freed_memory


def test_what_the_user_set_stays(monkeypatch):
    monkeypatch.setenv("TF_CPU_ALLOCATOR_USE_BFC", "0")

    keep_freed_memory()

    assert os.environ["TF_CPU_ALLOCATOR_USE_BFC"] == "0"


def test_tensorflow_keeps_memory_by_default(monkeypatch):
    monkeypatch.delenv("TF_CPU_ALLOCATOR_USE_BFC", raising=False)

    keep_freed_memory()

    assert os.environ.pop("TF_CPU_ALLOCATOR_USE_BFC") == "1"
