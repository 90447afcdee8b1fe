from keras_fcn_benchmark.timing import in_turns


def test_candidates_run_in_turns_and_warm_up_does_not_count():
    calls = []

    def run(name):
        calls.append(name)
        return len(calls)

    results = in_turns({"a": lambda: run("a"), "b": lambda: run("b")}, num_rounds=2)

    assert calls == ["a", "b"] * 3
    assert results == {"a": [3, 5], "b": [4, 6]}
