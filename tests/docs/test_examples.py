"""Every file in examples/ runs, prints numbers, and draws the picture that it names."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from threadpoolctl import threadpool_limits

from support.examples import EXAMPLES, example

SLOW = {"bias_variance", "imbalance", "initialisation", "standardisation"}
NAMES = sorted(path.stem for path in EXAMPLES.glob("*.py"))


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.long] if n in SLOW else []) for n in NAMES]
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_an_example_runs(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = EXAMPLES / f"{name}.py"
    module = example(name)
    output = tmp_path / "new" / "folder"
    with threadpool_limits(1, "blas"):
        module.main(output)
    printed = capsys.readouterr().out
    assert re.search(r"\d", printed)
    assert not re.search(r"\bnan\b|\binf\b", printed)
    source = path.read_text(encoding="utf-8")
    drawn = set(re.findall(r'output / "([a-z_]+\.png)"', source))
    assert drawn == {f"{name}.png"}
    for picture in drawn:
        content = (output / picture).read_bytes()
        assert content.startswith(b"\x89PNG")
        assert len(content) > 5000
    assert {entry.name for entry in os.scandir(output)} == drawn


def test_examples_are_short_and_listed() -> None:
    listed = re.findall(r"^\| `([a-z_]+)\.py` \|", (EXAMPLES / "README.md").read_text(), re.M)
    assert sorted(listed) == NAMES
    for name in NAMES:
        source = (EXAMPLES / f"{name}.py").read_text(encoding="utf-8")
        assert len(source.splitlines()) <= 90, name
        assert f"\n    python examples/{name}.py [folder" in source, name
    assert set(NAMES) >= SLOW
