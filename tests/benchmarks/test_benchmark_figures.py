"""The figures that README quotes are computed for every map."""

from __future__ import annotations

import re
from typing import Any

import pytest

from deltarule.reference import MAPS
from support.paths import ROOT


def test_it_prints_the_worst_error_of_all_maps(
    monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import figures

    one = figures.one_combination("tanh", "squared_error", "identity", 1)
    monkeypatch.setattr(figures, "combination_errors", lambda: [one])
    monkeypatch.setattr(figures, "DRAWS", 5)
    figures.main()
    printed = capsys.readouterr().out
    found = re.search(r"adjoint identity, (\d+) maps × 5 points: worst (\S+) ", printed)
    assert found is not None
    assert int(found[1]) == len(MAPS)
    assert 0 < float(found[2]) < 1e-10
    assert "gradient check, 1 combinations: {'right': 1}" in printed
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"adjoint identity of all {len(MAPS)} maps" in readme.replace("\n  ", "")
