"""Docstrings as Sphinx reads them: mathematics such as |x| or α * u is text, not markup."""

from __future__ import annotations

import inspect
import re
from functools import cache
from typing import Any

from sphinx.application import Sphinx

import deltarule

# A bar or star that is not markup's own, and a name that ends in an underscore.
MARKUP = re.compile(r"(?<!\\)([|*])|(?<=\w)(_)(?=\W|$)")


def escaped(lines: list[str]) -> list[str]:
    """Return the lines with markup escaped, except in literals and examples."""
    found = []
    literal: int | None = None  # the indentation of the text around a literal block
    example = False
    for line in lines:
        indentation = len(line) - len(line.lstrip())
        if line.strip():
            if literal is not None and indentation <= literal:
                literal = None
            example = example or line.lstrip().startswith(">>>")
        else:
            example = False
        if literal is None and not example:
            parts = re.split(r"(``.*?``|`[^`]+`_?)", line)
            parts[::2] = [MARKUP.sub(r"\\\1\2", part) for part in parts[::2]]
            line = "".join(parts)
            if line.rstrip().endswith("::"):
                literal = indentation
        found.append(line)
    return found


@cache
def classes() -> re.Pattern[str]:
    """Return the pattern of the names of classes that have a page."""
    names = [name for name in deltarule.__all__ if inspect.isclass(getattr(deltarule, name))]
    return re.compile(rf"\b({'|'.join(names)})\b(?![(.])")


def linked(lines: list[str]) -> list[str]:
    """Return the lines with links in the types of parameters, results and attributes."""
    found = []
    for line in lines:
        name, colon, kind = line.partition(" : ")
        if colon and re.fullmatch(r"[\w*\\, ]+", name) and not name.startswith(" "):
            line = name + colon + classes().sub(r":class:`\1 <deltarule.\1>`", kind)
        found.append(line)
    return found


def escape(app: Sphinx, what: str, name: str, value: Any, options: Any, lines: list[str]) -> None:
    """Escape a docstring and link its types, before numpydoc turns its sections into markup."""
    lines[:] = linked(escaped(lines))


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the escape before numpydoc, whose priority is the default, 500."""
    app.connect("autodoc-process-docstring", escape, priority=100)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
