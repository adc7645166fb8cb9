"""The estimators pass plain objects to other modules, never themselves."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from support.paths import ROOT

FOLDER = ROOT / "src" / "deltarule" / "estimators"
CLASSES = ("BaseMLP", "FittedEstimator", "MLPClassifier", "MLPRegressor")
# scikit-learn's callback interface, whose hooks are called with the estimator.
INTERFACE = {"callback_fallback"}
DEFINING = {"base", "classifier", "fitted_estimator", "loading", "regressor", "__init__"}


def taken(tree: ast.Module) -> list[str]:
    """Return the arguments in a module that are estimators by name or annotation."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.arg) and node.arg != "self":
            kind = "" if node.annotation is None else ast.unparse(node.annotation)
            if "estimator" in node.arg.lower() or any(name in kind for name in CLASSES):
                found.append(f"line {node.lineno}: {node.arg}")
    return found


MODULES = sorted(path for path in FOLDER.glob("*.py") if path.stem not in INTERFACE)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_no_module_takes_an_estimator(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert taken(ast.parse(text)) == []
    if path.stem not in DEFINING:
        named = {node.id for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Name)}
        assert not named & set(CLASSES)


def test_the_search_finds_an_estimator() -> None:
    code = "def f(estimator): ...\ndef g(model: BaseMLP | None): ...\ndef h(self, model): ..."
    assert taken(ast.parse(code)) == ["line 1: estimator", "line 2: model"]
