"""Mutation testing: small changes of the code, each of which a test has to notice.

    python -m tests.robustness.mutation --mutants 300 --output mutants.json

A mutant is a copy of the package in which one comparison, operator, constant or statement is
changed. The tests of its module run on the copy; a mutant on which all of them pass survives, and
is printed as a diff. The same seed selects the same mutants of the same code. Mutants that compute
the same as the code are listed with their reasons in `equivalent_mutants.py`, and are not run.

    python -m tests.robustness.mutation --named

runs the mutants that an audit named, instead of those that are drawn.

TensorFlow and Keras are imported once: each mutant runs in a fork that imports the changed package.
"""

import argparse
import ast
import copy
import difflib
import importlib
import itertools
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from .equivalent_mutants import EQUIVALENT

ROOT = Path(__file__).resolve().parents[2]
# The folders of the project by the names under which they are installed.
PACKAGES = {
    "keras_fcn": "keras_fcn",
    "train": "keras_fcn_train",
    "export": "keras_fcn_export",
    "report": "keras_fcn_report",
}
# Modules and their tests, the quick ones first.
MODULES: dict[str, tuple[str, ...]] = {
    "keras_fcn/losses.py": ("tests/test_losses.py", "tests/test_loss_and_metric_on_jax.py"),
    "keras_fcn/metrics.py": ("tests/test_metrics.py", "tests/test_loss_and_metric_on_jax.py"),
    "keras_fcn/confusion_matrix.py": ("tests/test_confusion_matrix.py", "tests/test_metrics.py"),
    "keras_fcn/evaluation.py": ("tests/test_evaluation.py",),
    "keras_fcn/labels.py": ("tests/test_labels.py",),
    "keras_fcn/data/image_io.py": ("tests/data/test_image_io.py",),
    "keras_fcn/data/masks.py": (
        "tests/data/test_masks.py",
        "tests/data/test_image_io.py",
        "tests/datasets/test_mask_values.py",
    ),
    "keras_fcn/datasets/mask_reading.py": (
        "tests/datasets/test_mask_reading.py",
        "tests/datasets/test_mask_values.py",
    ),
    "keras_fcn/datasets/mask_values.py": (
        "tests/datasets/test_mask_reading.py",
        "tests/datasets/test_mask_values.py",
    ),
    "keras_fcn/data/hha.py": ("tests/data/test_hha.py",),
    "keras_fcn/data/augmentation.py": ("tests/data/test_augmentation.py",),
    "keras_fcn/data/resizing.py": ("tests/data/test_pipeline.py",),
    "keras_fcn/datasets/importers/drawing.py": ("tests/datasets/importers/test_drawing.py",),
    "keras_fcn/models/geometry.py": ("tests/models/test_geometry.py",),
    "keras_fcn/layers/upsampling.py": ("tests/models/test_optimize.py",),
    "keras_fcn/layers/cropping.py": ("tests/layers/test_layers.py",),
    "keras_fcn/prediction/tiling.py": ("tests/prediction/test_tiling.py",),
    "keras_fcn/prediction/test_time_augmentation.py": (
        "tests/prediction/test_test_time_augmentation.py",
    ),
    "keras_fcn/weights/transfer.py": (
        "tests/weights/test_transfer.py",
        "tests/weights/test_comparison.py",
        "tests/models/test_decoder.py",
    ),
    "keras_fcn/weights/comparison.py": ("tests/weights/test_comparison.py",),
    "keras_fcn/weights/classes.py": (
        "tests/weights/test_transfer.py",
        "tests/weights/test_comparison.py",
        "tests/models/test_decoder.py",
    ),
    "report/boundaries.py": ("tests/report/test_boundaries.py",),
    "report/calibration.py": ("tests/report/test_calibration.py",),
    "export/signatures.py": ("tests/export/test_savedmodel.py", "tests/export/test_pixel_limit.py"),
    "export/verification.py": ("tests/export/test_verification.py",),
}
# Mutants that survived the tests of 0.1.0: the module, its code, and what it is changed to.
NAMED = (
    ("keras_fcn/data/masks.py", "if index == VOID and (", "if index >= 254 and ("),
    ("keras_fcn/data/masks.py", "np.full(65536, -1, np.int16)", "np.full(65536, VOID, np.int16)"),
    ("keras_fcn/labels.py", "for bit in range(3)", "for bit in range(2)"),
    ("keras_fcn/data/hha.py", "np.arange(1, width + 1)", "np.arange(0, width)"),
    ("keras_fcn/data/hha.py", "np.arange(1, height + 1)", "np.arange(0, height)"),
)
# Imported before the forks. None of these imports the package.
HEAVY = (
    "tensorflow",
    "keras",
    "tensorflow_datasets",
    "numpy",
    "scipy.ndimage",
    "PIL.Image",
    "pytest",
)

COMPARISONS: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE,),
    ast.LtE: (ast.Lt,),
    ast.Gt: (ast.GtE,),
    ast.GtE: (ast.Gt,),
    ast.Eq: (ast.NotEq, ast.GtE),
    ast.NotEq: (ast.Eq,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
}
OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.Pow: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
}
FUNCTIONS = {
    "min": "max",
    "max": "min",
    "any": "all",
    "all": "any",
    "floor": "ceil",
    "ceil": "floor",
    "minimum": "maximum",
    "maximum": "minimum",
}

Change = Callable[[], None]


@dataclass
class Mutant:
    """A changed module.

    Args:
        module: The path of the module, relative to the project.
        line: The line that is changed.
        diff: The change, as lines with - and +.
        outcome: "killed", "survived", "timed out" (which counts as killed), or "equivalent".
        seconds: Duration of the tests.
    """

    module: str
    line: int
    diff: str
    outcome: str = ""
    seconds: float = 0.0

    @property
    def is_equivalent(self) -> bool:
        """Whether it is listed among the mutants that compute the same."""
        added = [line[1:].strip() for line in self.diff.splitlines() if line.startswith("+")]
        return any(module == self.module and changed in added for module, changed in EQUIVALENT)


def changes(tree: ast.Module) -> Iterator[tuple[int, Change]]:
    """Yields the line of each possible change of a module, and the function that makes it."""
    for node in _nodes_that_compute(tree):
        line = getattr(node, "lineno", 0)
        for change in _changes_of(node):
            yield line, change


def _nodes_that_compute(node: ast.AST) -> Iterator[ast.AST]:
    """Yields nodes without annotations, imports, decorators, docstrings and error messages."""
    if isinstance(node, ast.Import | ast.ImportFrom | ast.Raise):
        return
    yield node
    for field, value in ast.iter_fields(node):
        if field in ("annotation", "returns", "decorator_list", "type_params"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield from _nodes_that_compute(child)


def _changes_of(node: ast.AST) -> Iterator[Change]:
    if isinstance(node, ast.Compare):
        for index, operator in enumerate(node.ops):
            for other in COMPARISONS[type(operator)]:
                yield lambda i=index, o=other: node.ops.__setitem__(i, o())  # type: ignore[misc]
    elif isinstance(node, ast.BinOp | ast.AugAssign) and type(node.op) in OPERATORS:
        yield lambda: setattr(node, "op", OPERATORS[type(node.op)]())
    elif isinstance(node, ast.BoolOp):
        yield lambda: setattr(node, "op", ast.Or() if isinstance(node.op, ast.And) else ast.And())
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.USub):
        yield lambda: setattr(node, "op", ast.UAdd() if isinstance(node.op, ast.USub) else _Same())
    elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield lambda: setattr(node, "value", not node.value)
    elif isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        yield lambda: setattr(node, "value", node.value + 1)  # type: ignore[operator]
    elif isinstance(node, ast.Call):
        if isinstance(node.func, ast.Name) and node.func.id in FUNCTIONS:
            yield lambda: setattr(node.func, "id", FUNCTIONS[node.func.id])  # type: ignore[attr-defined]
        elif isinstance(node.func, ast.Attribute) and node.func.attr in FUNCTIONS:
            yield lambda: setattr(node.func, "attr", FUNCTIONS[node.func.attr])  # type: ignore[attr-defined]
    elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        yield lambda: setattr(node, "value", ast.Constant(value=None))


class _Same(ast.Not):
    """`not x` becomes `not not x`, which is as true as x."""


def count_mutants(module: str) -> int:
    """Returns how many mutants a module has."""
    return sum(1 for _ in changes(ast.parse((ROOT / module).read_text())))


def mutant_of(module: str, index: int) -> tuple[Mutant, str]:
    """Returns a mutant of a module and its source."""
    source = (ROOT / module).read_text()
    line, changed = _changed(source, index)
    return Mutant(module, line, _diff(source, changed)), changed


def _diff(source: str, changed: str) -> str:
    before, after = ast.unparse(ast.parse(source)), ast.unparse(ast.parse(changed))
    return "\n".join(
        line
        for line in difflib.unified_diff(before.splitlines(), after.splitlines(), n=0, lineterm="")
        if not line.startswith(("---", "+++", "@@"))
    )


def _changed(source: str, index: int) -> tuple[int, str]:
    """Returns the line of a change, and the changed source."""
    tree = ast.parse(source)
    line, change = next(itertools.islice(changes(tree), index, None))
    change()
    for node in ast.walk(tree):
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, _Same):
            node.op, node.operand = (
                ast.Not(),
                ast.UnaryOp(op=ast.Not(), operand=copy.copy(node.operand)),
            )
    return line, ast.unparse(ast.fix_missing_locations(tree))


def choose(num_mutants: int, seed: int, only: str = "") -> list[tuple[Mutant, str]]:
    """Returns mutants with their sources, from each module as many as its share of all.

    Args:
        num_mutants: About how many, over all modules.
        seed: Of the draw.
        only: Text in the paths of the modules whose mutants are returned.
    """
    counts = {module: count_mutants(module) for module in MODULES}
    chosen = []
    for module, available in counts.items():
        if only in module:
            share = round(num_mutants * available / sum(counts.values()))
            indices = list(range(available))
            random.Random(f"{seed} {module}").shuffle(indices)
            chosen += [mutant_of(module, i) for i in sorted(indices[: max(5, share)])]
    return chosen


def named(only: str = "") -> list[tuple[Mutant, str]]:
    """Returns the mutants of `NAMED` with their sources."""
    chosen = []
    for module, before, after in NAMED:
        source = (ROOT / module).read_text()
        if source.count(before) != 1:
            raise ValueError(f"{module} must contain {before!r} once.")
        line = source[: source.index(before)].count("\n") + 1
        changed = source.replace(before, after)
        if only in module:
            chosen.append((Mutant(module, line, _diff(source, changed)), changed))
    return chosen


def run_tests(module: str, source: str | None, timeout: float) -> tuple[str, float, str]:
    """Runs the tests of a module on a copy of the package.

    Args:
        module: The path of the module.
        source: Its changed source, or None to test it as it is.
        timeout: After so many seconds the tests are ended.

    Returns:
        "survived", "killed" or "timed out"; the seconds; and what pytest printed.
    """
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mutant-") as folder:
        log = Path(folder) / "log.txt"
        for name, package in PACKAGES.items():
            shutil.copytree(
                ROOT / name,
                Path(folder) / package,
                ignore=shutil.ignore_patterns("__pycache__"),
            )
        if source is not None:
            package, _, rest = module.partition("/")
            (Path(folder) / PACKAGES[package] / rest).write_text(source)
        process = os.fork()
        if process == 0:
            _test_in_fork(folder, log, MODULES[module])
        while True:
            ended, status = os.waitpid(process, os.WNOHANG)
            seconds = time.monotonic() - start
            if ended:
                break
            if seconds > timeout:
                os.killpg(process, signal.SIGKILL)
                os.waitpid(process, 0)
                return "timed out", seconds, log.read_text()
            time.sleep(0.05)
        outcome = "survived" if os.waitstatus_to_exitcode(status) == 0 else "killed"
        return outcome, seconds, log.read_text()


def _test_in_fork(folder: str, log: Path, tests: tuple[str, ...]) -> None:
    code = 1
    try:
        os.setsid()
        output = os.open(log, os.O_WRONLY | os.O_CREAT)
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.chdir(ROOT)
        sys.path.insert(0, folder)
        os.environ["PYTHONPATH"] = os.pathsep.join(
            [folder, *filter(None, [os.environ.get("PYTHONPATH")])]
        )
        os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
        # What tests start, such as `python -m pytest` for JAX, must not find the code as it is.
        os.environ["PYTHONSAFEPATH"] = "1"
        (Path(folder) / "tests").symlink_to(ROOT / "tests")
        # Tests that need files beside the repository are skipped.
        for name in ("KERAS_FCN_DATA", "KERAS_FCN_CASES"):
            os.environ[name] = str(Path(folder) / "none")
        sys.dont_write_bytecode = True
        import pytest

        existing = [test for test in tests if (ROOT / test).is_file()]
        code = int(
            pytest.main(["-x", "-q", "-n0", "-p", "no:cacheprovider", "--no-header", *existing])
        )
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def main() -> None:
    """Runs the mutants and prints a table and the survivors."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mutants", type=int, default=300, help="about how many of all [300]")
    parser.add_argument("--named", action="store_true", help="those that an audit named")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2, help="how many run at once [2]")
    parser.add_argument("--timeout", type=float, default=300, help="seconds per mutant [300]")
    parser.add_argument("--only", default="", help="modules whose path contains this text")
    parser.add_argument("--again", type=Path, help="those that survived in this JSON file")
    parser.add_argument("--output", type=Path, help="a JSON file of all mutants")
    options = parser.parse_args()
    for name in HEAVY:
        importlib.import_module(name)

    chosen = (
        named(options.only)
        if options.named
        else choose(options.mutants, options.seed, options.only)
    )
    if options.again:
        survived = [
            (one["module"], one["diff"])
            for one in json.loads(options.again.read_text())
            if one["outcome"] == "survived"
        ]
        chosen = [one for one in chosen if (one[0].module, one[0].diff) in survived]
    modules = list(dict.fromkeys(mutant.module for mutant, _ in chosen))
    with ThreadPoolExecutor(options.jobs) as pool:
        for module, (outcome, seconds, printed) in zip(
            modules, pool.map(lambda m: run_tests(m, None, options.timeout), modules), strict=True
        ):
            if outcome != "survived":
                sys.exit(f"The tests of {module} fail without any change:\n{printed[-2000:]}")
            print(f"{module}: its tests pass in {seconds:.0f} s", flush=True)
        for mutant in pool.map(lambda one: tried(*one, options.timeout), chosen):
            if mutant.outcome == "survived":
                print(f"\nSurvived: {mutant.module}, line {mutant.line}\n{mutant.diff}", flush=True)
            if options.output:
                options.output.write_text(
                    json.dumps([asdict(one) for one, _ in chosen], indent=1) + "\n"
                )
    print(table([mutant for mutant, _ in chosen]))


def tried(mutant: Mutant, source: str, timeout: float) -> Mutant:
    """Runs the tests on a mutant unless it is equivalent, and returns it with the outcome."""
    if mutant.is_equivalent:
        mutant.outcome = "equivalent"
    else:
        mutant.outcome, seconds, _ = run_tests(mutant.module, source, timeout)
        mutant.seconds = round(seconds, 1)
    return mutant


def table(mutants: list[Mutant]) -> str:
    """Returns one line per module, and one of all: mutants, killed, survived, equivalent."""
    rows = {
        module: [mutant.outcome for mutant in mutants if mutant.module == module]
        for module in dict.fromkeys(mutant.module for mutant in mutants)
    }
    rows["all"] = [mutant.outcome for mutant in mutants]
    lines = [f"{'module':45} mutants  killed  survived  equivalent"]
    for module, outcomes in rows.items():
        survived, equivalent = outcomes.count("survived"), outcomes.count("equivalent")
        killed = len(outcomes) - survived - equivalent
        lines.append(f"{module:45} {len(outcomes):7} {killed:7} {survived:9} {equivalent:11}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
