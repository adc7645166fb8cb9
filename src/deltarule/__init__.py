"""deltarule: multilayer perceptrons, built from their mathematics.

``MLPClassifier`` and ``MLPRegressor`` replace scikit-learn's; ``Network`` and ``train`` show every
step. See the README for a tour and ``docs/maths.md`` for the equations.

Each public name is imported when it is first used, so importing the package costs almost nothing.
The names are listed in ``__init__.pyi``, which type checkers read too.
"""

from functools import cache as _cache
from importlib import import_module as _import_module
from typing import Any as _Any


@_cache
def _public_names() -> dict[str, str]:
    """Return the module that defines each public name; a submodule's own is ``deltarule``."""
    import ast
    from pkgutil import get_data

    listing = get_data("deltarule", "__init__.pyi")
    if listing is None:  # only an import system without access to data files returns this
        raise ImportError("deltarule/__init__.pyi cannot be read; install deltarule again.")
    imports = (node for node in ast.parse(listing).body if isinstance(node, ast.ImportFrom))
    return {alias.name: node.module or "" for node in imports for alias in node.names}


def __getattr__(name: str) -> _Any:
    """Import a public name or submodule, the first time that it is used."""
    names = _public_names()
    if name == "__all__":
        return sorted(names.keys() - {"__version__"})
    if name not in names:
        raise AttributeError(f"module 'deltarule' has no attribute {name!r}")
    home = names[name]
    if home == "deltarule":
        value = _import_module(f"deltarule.{name}")
    else:
        value = getattr(_import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Return all public names, including those that have not been imported yet."""
    return sorted({*_public_names(), *(name for name in globals() if name.startswith("__"))})
