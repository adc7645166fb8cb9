"""Imports of libraries that read a settings file of the working directory, without that file.

Whoever can put a file into a folder would otherwise decide what a command computes there.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import CodeType
from typing import Any

__all__ = ["without_settings_file"]


@contextmanager
def without_settings_file(module: str, file: str) -> Iterator[None]:
    """Within this context, a module that is imported does not look for a file by its bare name.

    A module that the program has imported before is left as it is: its settings are the program's.

    Parameters
    ----------
    module : str
        The dotted name of the module that looks for the file.
    file : str
        The file's name, which the module's code assigns or yields. As an argument of a call, for
        example to append it to the user's own folder, it stays.
    """
    if module in sys.modules:
        yield
        return
    finder: Any = _Finder(module, file)
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


class _Finder:
    """Finds one module, as the standard finder of files does, with another loader."""

    def __init__(self, module: str, file: str) -> None:
        self._module, self._file = module, file

    def find_spec(self, name: str, path: Any, target: Any = None) -> ModuleSpec | None:
        if name != self._module:
            return None
        found = PathFinder.find_spec(name, path, target)
        if found is not None and type(found.loader) is SourceFileLoader:
            found.loader = _Loader(name, found.loader.path, self._file)
        return found


class _Loader(SourceFileLoader):
    """Compiles a module from its source, changed; the stored byte code is neither read nor set."""

    def __init__(self, name: str, path: str, file: str) -> None:
        super().__init__(name, path)
        self._file = file

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        tree = _Nameless(self._file).visit(ast.parse(self.get_data(path), path))
        return compile(tree, path, "exec", dont_inherit=True)


class _Nameless(ast.NodeTransformer):
    """Replaces a file's name by an empty one, which no file has."""

    def __init__(self, file: str) -> None:
        self._file = file

    def visit_Assign(self, node: ast.Assign) -> ast.Assign:
        self._change(node.value)
        return node

    def visit_Yield(self, node: ast.Yield) -> ast.Yield:
        self._change(node.value)
        return node

    def _change(self, value: ast.expr | None) -> None:
        if isinstance(value, ast.Constant) and value.value == self._file:
            value.value = ""
