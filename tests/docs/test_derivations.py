"""docs/maths/ derives every item: steps, code beside it, links to the source and to a test."""

from __future__ import annotations

import ast
import re

import pytest

from docs.test_maths_items import ITEMS
from support.paths import ROOT

FOLDER = ROOT / "docs/maths"
PAGES = {path.stem: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.md")}
SECTIONS = {
    (page, title): body
    for page, text in PAGES.items()
    for title, body in re.findall(r"^## (.+)\n((?:(?!## ).*\n?)*)", text, re.MULTILINE)
}
OF_ITEM = {
    item: (page, title, body)
    for (page, title), body in SECTIONS.items()
    for item in re.findall(r"^([A-Z]\d)\b", title)
}


def test_every_item_is_derived_once() -> None:
    assert sorted(OF_ITEM) == sorted(ITEMS)
    titles = [title for _, title in SECTIONS if re.match(r"[A-Z]\d\b", title)]
    assert len(titles) == len(set(titles)) == 69


@pytest.mark.parametrize("item", ITEMS)
def test_a_derivation_has_steps_code_and_test(item: str) -> None:
    _, _, body = OF_ITEM[item]
    text, end = re.split(r"Code:\s", body, maxsplit=1)
    assert len(text.split()) > (5 if item == "A1" else 25)
    links = re.findall(r"\]\((\.\./\.\./[^)]+)\)", end)
    assert any(link.startswith(("../../src/", "../../examples/")) for link in links)
    assert any(link.startswith("../../tests/") for link in links)
    for link in links:
        assert (FOLDER / link).resolve().is_file(), link
    for name, target in re.findall(r"\[([\w/]+\.py)\]\(([^)]+)\)", end):
        assert target.endswith(name), name  # the link's text says where it leads


def test_the_code_beside_exists() -> None:
    included = [
        found
        for text in PAGES.values()
        for found in re.findall(r"```{literalinclude} (\S+)\n:pyobject: (\S+)\n", text)
    ]
    assert len(included) > 15
    for file, name in included:
        tree = ast.parse((FOLDER / file).resolve().read_text(encoding="utf-8"))
        scope: list[ast.stmt] = tree.body
        for part in name.split("."):
            owner = next(
                node
                for node in scope
                if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == part
            )
            scope = owner.body


def test_every_erratum_that_is_named_exists() -> None:
    known = set(re.findall(r"^\| (E-[a-z]+) \|", (ROOT / "docs/maths.md").read_text(), re.M))
    for text in PAGES.values():
        assert set(re.findall(r"\bE-[a-z]{1,2}\b", text)) <= known


def test_the_numbers_in_the_derivations() -> None:
    from math import exp

    a = 1 / (1 + exp(10))
    assert f"{(a - 1) * a * (1 - a):.1e}" == "-4.5e-05"  # H3
    assert f"{a - 1:.1f}" == "-1.0"
    assert 1 - 0.95**59 > 0.95 > 1 - 0.95**58  # T2
    s = 1 / (1 + exp(4))  # M1: x = y = 1, w = −4
    second = (s * (1 - s)) ** 2 + (s - 1) * s * (1 - s) * (1 - 2 * s)
    assert f"{second:.3f}" == "-0.016"
    assert (5 + 1) * 3 + (3 + 1) * 3 + (3 + 1) * 2 == 38  # M4
    u, third = 1.1e-16, 1.0
    best = (3 * u / third) ** (1 / 3)  # B4
    assert 6.5e-6 < best < 7.5e-6
    assert 1.5e-11 < best**2 * third / 6 + u / best < 3e-11
    assert pytest.approx((0.1 * 0.9 / 2000) ** 0.5, abs=1e-4) == 0.0067  # D1
    assert pytest.approx((0.1 * 0.9 / 10_000) ** 0.5, abs=1e-4) == 0.003
