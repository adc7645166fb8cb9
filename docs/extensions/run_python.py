"""The directive ``run-python``: code, and below it what its last expression shows in a notebook."""

from __future__ import annotations

import ast
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective


def value_of(code: str, names: dict[str, Any]) -> Any:
    """Run code and return the value of its last line, which is an expression."""
    tree = ast.parse(code)
    last = tree.body.pop()
    if not isinstance(last, ast.Expr):
        raise ValueError(f"the last line of run-python must be an expression; got\n{code}")
    exec(compile(tree, "run-python", "exec"), names)
    return eval(compile(ast.Expression(last.value), "run-python", "eval"), names)


class RunPython(SphinxDirective):
    """Show code and the HTML of its value; the blocks of a page share their names."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        """Return the nodes of the code and of the value."""
        code = "\n".join(self.content)
        names = self.env.temp_data.setdefault("run-python", {"__name__": "__main__"})
        shown = value_of(code, names)._repr_html_()
        return [
            nodes.literal_block(code, code, language="python"),
            nodes.raw("", f'<div class="shown">{shown}</div>', format="html"),
        ]


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("run-python", RunPython)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
