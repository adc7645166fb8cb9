"""The site typesets subscripts and superscripts of the mathematics, and leaves code alone."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from support.paths import ROOT

nodes = pytest.importorskip("docutils.nodes")
pytest.importorskip("sphinx")


def typeset(text: str) -> str:
    sys.path.insert(0, str(ROOT / "docs/extensions"))
    try:
        from subscripts import typeset as made
    finally:
        sys.path.pop(0)

    def shown(node: Any) -> str:
        if isinstance(node, nodes.Text):
            return node.astext()
        mark = "_" if isinstance(node, nodes.subscript) else "^"
        return f"<{mark}{''.join(map(shown, node.children))}>"

    return "".join(map(shown, made(text)))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("v_t = μv_{t−1} − ηg_t", "v<_t> = μv<_t−1> − ηg<_t>"),
        ("e^{z_j − m}, e^{−z}, 10^r", "e<^z<_j> − m>, e<^−z>, 10<^r>"),
        ("D_ii/(D_ii + s), rf_x(z̄), z̄_i", "D<_ii>/(D<_ii> + s), rf<_x>(z̄), z̄<_i>"),
        ("Σ_rows δ_l and Σ_{i∈B} g_i", "Σ<_rows> δ<_l> and Σ<_i∈B> g<_i>"),
        ("a plain sentence, E-a, x² and 1/(1 + e)", "a plain sentence, E-a, x² and 1/(1 + e)"),
    ],
)
def test_scripts(text: str, expected: str) -> None:
    assert typeset(text) == expected
