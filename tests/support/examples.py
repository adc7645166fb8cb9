"""The programs of examples/, as modules."""

from __future__ import annotations

import importlib.util
from types import ModuleType

from support.paths import ROOT

__all__ = ["EXAMPLES", "example"]

EXAMPLES = ROOT / "examples"


def example(name: str) -> ModuleType:
    """Return a program as a module; its ``main`` has not run."""
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
