"""Subscripts and superscripts of the mathematics: ``v_{t−1}`` and ``e^{−z}`` are typeset as such.

The pages stay plain text, which reads the same in an editor.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from docutils import nodes
from sphinx.addnodes import download_reference, pending_xref
from sphinx.application import Sphinx

SCRIPT = re.compile(r"(?<=[\w)'\u0300-\u036f⁻])([_^])(\{[^{}]*\}|[a-zA-Z0-9α-ω∘−]+)")
PAGES = ("explanation/worked-path", "tabular")
"""Pages with equations, beside those of the mathematics."""
KEPT = (nodes.literal, nodes.reference, nodes.image, download_reference, pending_xref)


def typeset(text: str) -> list[nodes.Node]:
    """Return a text as nodes, with its subscripts and superscripts."""
    found: list[nodes.Node] = []
    end = 0
    for match in SCRIPT.finditer(text):
        found.append(nodes.Text(text[end : match.start()]))
        kind = nodes.subscript if match[1] == "_" else nodes.superscript
        found.append(kind("", "", *typeset(match[2].strip("{}"))))
        end = match.end()
    return [*found, nodes.Text(text[end:])]


def on_page(app: Sphinx, doctree: nodes.document) -> None:
    """Typeset the texts of a page of the mathematics, and its displayed equations."""
    page = app.env.docname
    if page.partition("/")[0] != "maths" and page not in PAGES:
        return
    for text in list(doctree.findall(nodes.Text)):
        if any(map(_kept, _around(text))):
            continue
        new = typeset(text.astext())
        if len(new) > 1:
            text.parent.replace(text, new)


def _around(node: nodes.Node) -> Iterator[nodes.Node]:
    while node.parent is not None:
        node = node.parent
        yield node


def _kept(node: nodes.Node) -> bool:
    """Whether this is code, or the text of a link."""
    code = isinstance(node, nodes.literal_block) and node.get("language", "none") != "none"
    return code or isinstance(node, KEPT)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the typesetting."""
    app.connect("doctree-read", on_page)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
