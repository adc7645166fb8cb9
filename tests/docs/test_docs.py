"""The documents are correct: every example runs, every link and every name exists."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import matplotlib as mpl
import pytest

import deltarule
from deltarule.datasets import penguins_path
from support.paths import ROOT

MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(deltarule.__path__, "deltarule.")
    if not module.name.endswith("__main__")
)

DOCUMENTS = sorted(
    str(path.relative_to(ROOT))
    for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/*.md"))
)


@pytest.fixture(autouse=True)
def _no_window() -> None:
    mpl.use("Agg")


@pytest.mark.parametrize("name", MODULES)
def test_docstring_examples_run(name: str) -> None:
    failed, _ = doctest.testmod(importlib.import_module(name))
    assert failed == 0


@pytest.mark.parametrize(
    "document",
    [
        "README.md",
        "docs/maths.md",
        "docs/streaming.md",
        "docs/tutorial.md",
        "docs/tutorials/quick-start.md",
    ],
)
def test_python_blocks_run(document: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "__main__"}  # a block may use what an earlier one has defined
    for block in re.findall(r"```python\n(.*?)```", (ROOT / document).read_text(), re.DOTALL):
        exec(compile(block, document, "exec"), names)


@pytest.mark.parametrize(
    ("document", "least"),
    [
        ("docs/checkpoints.md", 15),
        ("docs/estimators.md", 20),
        ("docs/onnx.md", 15),
        ("docs/how-to/from-scikit-learn.md", 12),
        ("docs/how-to/from-keras.md", 8),
        ("docs/how-to/from-pytorch.md", 8),
    ],
)
def test_guides_run(
    document: str, least: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    failed, tried = doctest.testfile(
        str(ROOT / document), module_relative=False, optionflags=doctest.ELLIPSIS
    )
    assert tried > least
    assert failed == 0


@pytest.mark.parametrize("document", ["README.md", "docs/tutorial.md"])
def test_shell_commands_run(document: str, tmp_path: Path) -> None:
    table = penguins_path().read_text(encoding="utf-8")
    (tmp_path / "penguins.csv").write_text(table, encoding="utf-8")
    rows = [line.split(",", 1)[1] for line in table.splitlines()[:4]]  # without the species
    (tmp_path / "new.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    program = shutil.which("deltarule", path=Path(sys.executable).parent)
    assert program is not None
    lines = (ROOT / document).read_text(encoding="utf-8").splitlines()
    written = [line.strip().removeprefix("$ ") for line in lines if line.startswith("    ")]
    commands = [line for line in written if line.startswith("deltarule ")]
    assert len(commands) == 2
    for command in commands:
        done = subprocess.run(
            [program, *shlex.split(command)[1:]],
            cwd=tmp_path, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{command}: {done.stderr}"


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_link_leads_to_a_file(document: str) -> None:
    path = ROOT / document
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", path.read_text(encoding="utf-8")):
        if not target.startswith("https://"):
            assert (path.parent / target).exists(), target


def test_every_page_is_in_the_contents_of_the_readme() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for page in (ROOT / "docs").glob("*.md"):
        assert f"| [docs/{page.name}](docs/{page.name}) |" in text


def test_the_first_example_is_six_lines() -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert [len(block.splitlines()) for block in blocks] == [6]


def test_the_functions_that_the_mathematics_names_exist() -> None:
    text = (ROOT / "docs/maths.md").read_text()
    named = set(re.findall(r"`((?:[a-z_]+\.)?[a-z_0-9]+)(?:\([^`]*\))?`", text))
    reference = {
        name
        for module in pkgutil.iter_modules(importlib.import_module("deltarule.reference").__path__)
        for name in (
            f"{module.name}.{attribute}"
            for attribute in dir(importlib.import_module(f"deltarule.reference.{module.name}"))
        )
    }
    mathematical = {name for name in named if "." in name and not name.endswith((".py", ".md"))}
    modules = {name.split(".")[0] for name in reference}
    claimed = {name for name in mathematical if name.split(".")[0] in modules}
    assert len(claimed) > 10
    assert claimed <= reference


def test_every_public_name_is_documented() -> None:
    for name in deltarule.__all__:
        assert (getattr(deltarule, name).__doc__ or "").strip(), name
