"""The documents tell the truth: every example runs, every name they give exists."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import re
from pathlib import Path

import matplotlib as mpl
import pytest

import deltarule

ROOT = Path(__file__).resolve().parent.parent
MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(deltarule.__path__, "deltarule.")
    if not module.name.endswith("__main__")
)


@pytest.fixture(autouse=True)
def _no_window() -> None:
    mpl.use("Agg")


@pytest.mark.parametrize("name", MODULES)
def test_docstring_examples_run(name: str) -> None:
    failed, _ = doctest.testmod(importlib.import_module(name))
    assert failed == 0


@pytest.mark.parametrize("document", ["README.md", "docs/maths.md", "docs/streaming.md"])
def test_python_blocks_run(document: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for block in re.findall(r"```python\n(.*?)```", (ROOT / document).read_text(), re.DOTALL):
        exec(compile(block, document, "exec"), {"__name__": "__main__"})


@pytest.mark.parametrize(
    ("document", "least"),
    [("docs/checkpoints.md", 15), ("docs/estimators.md", 20), ("docs/onnx.md", 15)],
)
def test_guides_run(
    document: str, least: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    failed, tried = doctest.testfile(
        str(ROOT / document), module_relative=False, optionflags=doctest.ELLIPSIS
    )
    assert tried > least
    assert failed == 0


def test_the_functions_that_the_mathematics_names_exist() -> None:
    text = (ROOT / "docs/maths.md").read_text()
    named = set(re.findall(r"`((?:[a-z_]+\.)?[a-z_0-9]+)(?:\([^`]*\))?`", text))
    reference = {
        name
        for module in pkgutil.iter_modules(importlib.import_module("deltarule.reference").__path__)
        for name in (
            f"{module.name}.{attribute}"
            for attribute in dir(importlib.import_module(f"deltarule.reference.{module.name}"))
        )
    }
    mathematical = {name for name in named if "." in name and not name.endswith((".py", ".md"))}
    modules = {name.split(".")[0] for name in reference}
    claimed = {name for name in mathematical if name.split(".")[0] in modules}
    assert len(claimed) > 10
    assert claimed <= reference


def test_every_public_name_is_documented() -> None:
    for name in deltarule.__all__:
        assert (getattr(deltarule, name).__doc__ or "").strip(), name


def test_the_public_names_are_pinned() -> None:
    assert sorted(deltarule.__all__) == deltarule_names()


def deltarule_names() -> list[str]:
    return [
        "Adadelta", "Adagrad", "Adam", "AdamW", "Adaptive", "BatchNorm", "BinaryCrossEntropy",
        "CategoricalCrossEntropy", "Checkpoint", "ClipNorm", "ClipValue", "Constant", "Cosine",
        "Dense",
        "Dropout", "ELU", "EarlyStopping", "Exponential", "Fixed", "GradientCheck", "History",
        "Huber",
        "InverseScaling", "InverseSquareRoot", "InverseTime", "L1", "L2", "LBFGS", "LeakyReLU",
        "LineSearch", "MLPClassifier", "MLPRegressor", "MaxNorm", "MomentumAverage", "Nadam",
        "Network", "Normal", "OneCycle", "Quantile", "RMSprop", "ReduceOnPlateau", "Rprop",
        "SGD", "State", "StepDecay", "Table", "Uniform", "WarmUp", "check_function",
        "check_gradients", "critical_point", "dropout_average", "dropout_exact", "errors",
        "fold_batch_norm", "hessian_eigenvalues", "hessian_vector_product", "load",
        "network_health", "plot_confusion_matrix", "plot_learning_curve", "plot_predictions",
        "refresh_statistics", "save", "shrinkage_table", "train",
    ]  # fmt: skip
