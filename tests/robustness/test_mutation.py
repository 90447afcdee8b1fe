"""The script that makes mutants, on a module of two functions."""

import json
import subprocess
import sys

from . import mutation

_RUN = """
import sys
from pathlib import Path
from tests.robustness import mutation

mutation.ROOT = Path(sys.argv.pop(1))
mutation.PACKAGES = {"shapes": "keras_fcn_shapes"}
mutation.MODULES = {"shapes/area.py": ("test_area.py",)}
mutation.HEAVY = ("pytest",)
mutation.main()
"""
_MODULE = '''"""Rectangles."""


def area(width: int, height: int) -> int:
    """Returns the area."""
    return width * height


def shorter(width: int, height: int) -> int:
    """Returns the shorter side."""
    return width if width < height else height
'''
_TESTS = """
from keras_fcn_shapes.area import area, shorter


def test_area():
    assert area(2, 3) == 6
    assert (shorter(2, 3), shorter(3, 2), shorter(2, 2)) == (2, 2, 2)
"""


def test_a_wrong_mutant_is_killed_and_an_equivalent_one_survives(tmp_path):
    (tmp_path / "shapes").mkdir()
    (tmp_path / "shapes" / "area.py").write_text(_MODULE)
    (tmp_path / "test_area.py").write_text(_TESTS)
    found = tmp_path / "mutants.json"

    run = subprocess.run(
        [sys.executable, "-c", _RUN, str(tmp_path), "--output", str(found)],
        cwd=mutation.ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert run.returncode == 0, run.stdout + run.stderr
    mutants = {
        one["diff"].splitlines()[1].strip("+ "): one for one in json.loads(found.read_text())
    }
    assert {changed: one["outcome"] for changed, one in mutants.items()} == {
        "return width / height": "killed",
        # The shorter of two equal sides is either.
        "return width if width <= height else height": "survived",
    }
    assert [one["line"] for one in mutants.values()] == [6, 11]
    assert "all" in run.stdout.splitlines()[-1]


def test_mutants_that_are_named_are_of_the_present_code():
    for mutant, source in mutation.named():
        compile(source, mutant.module, "exec")
        assert mutant.diff
    assert len(mutation.named("labels")) == 1


def test_equivalent_mutants_are_known_by_their_changed_line():
    [(module, changed), *_] = mutation.EQUIVALENT

    assert mutation.Mutant(module, 1, f"-    before\n+    {changed}").is_equivalent
    assert not mutation.Mutant(module, 1, f"-    {changed}\n+    after").is_equivalent
