"""Who may import whom: see ARCHITECTURE.md."""

import ast
import configparser
import os
import re
import subprocess
import sys
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

import keras_fcn

PACKAGES = {
    "keras_fcn": set(),
    "keras_fcn_train": {"keras_fcn"},
    "keras_fcn_export": {"keras_fcn"},
    # Its scripts may train.
    "keras_fcn_benchmark": {"keras_fcn", "keras_fcn_train", "keras_fcn_export"},
    "keras_fcn_report": {"keras_fcn"},
    "keras_fcn_cli": {
        "keras_fcn",
        "keras_fcn_train",
        "keras_fcn_export",
        "keras_fcn_benchmark",
        "keras_fcn_report",
    },
}
FOLDERS = {
    "keras_fcn_train": "train",
    "keras_fcn_export": "export",
    "keras_fcn_benchmark": "benchmark",
    "keras_fcn_report": "report",
    "keras_fcn_cli": "cli",
}
ROOT = Path(__file__).resolve().parent.parent
# What `import keras_fcn` must not load by itself: each is heavy, or needs TensorFlow.
LAZY = ("tensorflow_datasets", "keras_cv", "matplotlib", "PIL", "keras_fcn.datasets")
# What users choose and install themselves: the backend of Keras, and PyTorch for their GPU.
OF_THE_USER = {"jax", "torch"}
# The modules that are imported only where what they need is known to be installed.
NEED_AN_EXTRA = {"torch_network.py"}
# tensorflow-datasets imports it, but does not require it.
OF_A_DEPENDENCY = {"importlib-resources"}


def imported_modules(path, walk=ast.walk):
    for node in walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def walk_outside_functions(node):
    yield node
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from walk_outside_functions(child)


def files_of(package):
    return list((ROOT / FOLDERS.get(package, package)).rglob("*.py"))


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_import_only_what_they_may(package):
    files = files_of(package)

    for path in files:
        used = {name.split(".")[0] for name in imported_modules(path)} & set(PACKAGES)
        assert used <= PACKAGES[package] | {package}, path
    assert files


def test_models_and_datasets_do_not_know_each_other():
    library = ROOT / "keras_fcn"
    models = [
        path
        for folder in ("models", "backbones", "layers", "weights")
        for path in (library / folder).rglob("*.py")
    ]
    assert models
    for path in models:
        names = tuple(imported_modules(path))
        assert not any(n.startswith(("keras_fcn.datasets", "keras_fcn.data")) for n in names), path
    for folder in ("data", "datasets"):
        for path in (library / folder).rglob("*.py"):
            assert not any(n.startswith("keras_fcn.models") for n in imported_modules(path)), path


def test_backbones_know_neither_weights_nor_networks():
    for path in (ROOT / "keras_fcn" / "backbones").rglob("*.py"):
        names = tuple(imported_modules(path))
        assert not any(n.startswith(("keras_fcn.models", "keras_fcn.weights")) for n in names), path


def test_models_know_one_function_of_the_weights():
    known = {
        name
        for path in (ROOT / "keras_fcn" / "models").rglob("*.py")
        for name in imported_modules(path)
        if name.startswith("keras_fcn.weights.")
    }
    assert known == {"keras_fcn.weights.load"}


def run_python(code, **environment):
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        check=False,
    )


def test_importing_the_library_loads_nothing_heavy():
    result = run_python(
        "import sys, keras; before = set(sys.modules); import keras_fcn\n"
        f"print([name for name in {LAZY!r} if name in set(sys.modules) - before])"
    )

    assert result.stdout.strip() == "[]", result.stderr


def test_models_losses_and_metrics_work_without_tensorflow():
    code = """
import sys
sys.modules["tensorflow"] = None  # any import of it fails
import keras, keras_fcn, numpy as np
backbone = keras_fcn.backbones.SmallResNet(fc_filters=4)
model = keras_fcn.FCN8s(3, backbone=backbone)
model.compile("sgd", keras_fcn.losses.PixelwiseCrossentropy(),
              metrics=[keras_fcn.metrics.SegmentationMetrics(3)])
x, y = np.zeros((2, 33, 40, 3)), np.zeros((2, 33, 40), "int32")
print(sorted(model.fit(x, y, verbose=0).history))
"""
    result = run_python(code, KERAS_BACKEND="jax")

    assert "'mean_iou'" in result.stdout, result.stderr


def test_every_public_name_is_there():
    for name in keras_fcn.__all__:
        assert hasattr(keras_fcn, name)


def requirements(section, option):
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    return setup[section][option].split("\n")[1:]


def distributions(names):
    """The names as in "Pillow >= 10.4", spelled alike."""
    return {re.sub("[-_.]+", "-", re.match(r"[\w.-]+", name)[0]).lower() for name in names}


@cache
def installed_modules():
    return packages_distributions()


def third_party_imports(package, walk=ast.walk):
    """Yields each file of a package, a module it imports, and what can be installed to have it."""
    installed = installed_modules()
    for path in files_of(package):
        modules = {name.split(".")[0] for name in imported_modules(path, walk)}
        for module in modules - set(PACKAGES) - set(sys.stdlib_module_names):
            yield path, module, distributions(installed.get(module, [module]))


@pytest.mark.parametrize("package", PACKAGES)
def test_every_import_has_a_requirement(package):
    required = distributions(requirements("options", "install_requires"))
    # Not `dev`: a user does not have what only it brings.
    extras = distributions(
        line
        for extra in ("onnx", "benchmark", "bands", "mediapipe", "bulk")
        for line in requirements("options.extras_require", extra)
    )

    for path, module, names in third_party_imports(package):
        assert names & (required | extras | OF_THE_USER), (
            f"{path} imports {module}: add it to install_requires in setup.cfg."
        )
    for path, module, names in third_party_imports(package, walk_outside_functions):
        assert names & required or path.name in NEED_AN_EXTRA, (
            f"{path} imports {module}, which `pip install .` does not bring: import it inside the "
            "function that needs it."
        )


def test_every_requirement_is_imported():
    used = [names for package in PACKAGES for _, _, names in third_party_imports(package)]

    required = distributions(requirements("options", "install_requires"))

    assert required - set().union(*used) == OF_A_DEPENDENCY


def test_the_oldest_versions_are_those_of_the_lower_bounds():
    bounds = requirements("options", "install_requires")
    bounds += requirements("options.extras_require", "bands")
    pins = [line for line in (ROOT / ".ci/oldest.txt").read_text().splitlines() if "==" in line]

    for bound, pin in zip(bounds, pins, strict=True):
        assert pin.startswith(bound.replace(" >= ", "==")), (bound, pin)


def module_name(package, path):
    parts = path.relative_to(ROOT / FOLDERS.get(package, package)).with_suffix("").parts
    return ".".join((package, *parts)).removesuffix(".__init__")


def names_in(package, path):
    """Yields the dotted names that a file imports, those in strings included."""
    here = module_name(package, path).split(".")
    folder = here if path.name == "__init__.py" else here[:-1]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = folder[: len(folder) - node.level + 1] if node.level else []
            source = ".".join([*base, *filter(None, [node.module])])
            yield from (source, *(f"{source}.{alias.name}" for alias in node.names))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from (node.value, ".".join([*folder, node.value]))


def test_every_module_has_a_caller_that_is_no_test():
    # Found by their names, as `importlib` or a user calls them.
    by_name = re.compile(
        r"keras_fcn_(cli\.\w+|train\.recipes\.\w+|train\.studies\.\w+|benchmark\.scripts\.\w+)"
        r"|.*\.serving\.client|.*\.nyudv2\.unpacking"
    )
    files = [(package, path) for package in PACKAGES for path in files_of(package)]
    callers = {module_name(package, path): set(names_in(package, path)) for package, path in files}

    unused = [
        name
        for package, path in files
        if path.name != "__init__.py" and not by_name.fullmatch(name := module_name(package, path))
        if not any(name in names for caller, names in callers.items() if caller != name)
    ]

    assert len(callers) > 100
    assert unused == []
