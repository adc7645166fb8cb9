"""Names of a package that are imported when they are first used"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any

__all__ = ["importer"]


def importer(package: str, homes: Mapping[str, Sequence[str]]) -> Callable[[str], Any]:
    """Return the package's ``__getattr__``.

    Parameters
    ----------
    package : str
        Its ``__name__``.
    homes : mapping of str to sequence of str
        The names that each of its modules defines. For type checkers the package imports them, too,
        inside ``if TYPE_CHECKING``.
    """
    home_of = {name: f"{package}.{module}" for module, names in homes.items() for name in names}

    def import_name(name: str) -> Any:
        if name not in home_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(import_module(home_of[name]), name)
        setattr(sys.modules[package], name, value)
        return value

    return import_name
