"""deltarule: multilayer perceptrons, built from their mathematics.

``MLPClassifier`` and ``MLPRegressor`` replace scikit-learn's; ``Network`` and ``train`` show every
step. See the README for a tour and ``docs/maths.md`` for the equations.

Each public name is imported when it is first used, so importing the package costs almost nothing.
The names are listed in ``__init__.pyi``, which type checkers read too.
"""

import sys as _sys


def _module_run() -> str:
    """Return the module that ``python -m`` runs, or an empty text."""
    words = iter(_sys.orig_argv[1:])
    for word in words:
        if word[:1] != "-" or word in ("-", "--"):
            break
        if word[:2] == "--":
            if word == "--check-hash-based-pycs":
                next(words, "")
            continue
        for place, flag in enumerate(word):
            if flag == "m":  # as in -m deltarule, -mdeltarule and -sm deltarule
                return word[place + 1 :] or next(words, "")
            if flag == "c":
                return ""
            if flag in "WX":
                if place == len(word) - 1:
                    next(words, "")
                break
    return ""


# `python -m deltarule` puts the working directory first on the path. It is removed before anything
# else is imported, so that a typing.py or numpy.py in it is not run.
if _sys.argv[:1] == ["-m"] and not _sys.flags.safe_path:
    _home = __file__.rpartition("deltarule")[0].rstrip("/\\")
    if _module_run().partition(".")[0] == "deltarule" and _sys.path[0] != _home:
        del _sys.path[0]

from functools import cache as _cache  # noqa: E402
from importlib import import_module as _import_module  # noqa: E402
from typing import Any as _Any  # noqa: E402


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
