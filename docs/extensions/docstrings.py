"""Docstrings as Sphinx reads them: mathematics such as |x| or α * u is text, not markup."""

from __future__ import annotations

import re
from typing import Any

from sphinx.application import Sphinx

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


def escape(app: Sphinx, what: str, name: str, value: Any, options: Any, lines: list[str]) -> None:
    """Escape a docstring, before numpydoc turns its sections into markup."""
    lines[:] = escaped(lines)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the escape before numpydoc, whose priority is the default, 500."""
    app.connect("autodoc-process-docstring", escape, priority=100)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
