"""Imports inside deltarule point only backwards along the line of the architecture.

Read from the source with ``ast``: nothing is imported, so a module that is broken, or whose
optional dependency is missing, is still checked. Imports inside functions count too.
"""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import pytest

from support.paths import ROOT as ROOT_FOLDER

PACKAGE = "deltarule"
SOURCE = ROOT_FOLDER / "src" / PACKAGE

# From low to high. A module may import from its own row and from the rows above it in this list.
# ROOT is deltarule/__init__.py, the public face: only the commands may import through it.
ROOT = "deltarule/__init__.py"
LAYERS: tuple[tuple[str, ...], ...] = (
    ("errors", "version"),
    ("utils", "datasets"),
    ("storage", "schedules"),
    ("spec",),
    ("program",),
    ("augmentation",),
    ("reference", "engine"),
    ("training",),
    ("network",),
    ("onnx", "analysis", "functions"),
    ("metrics", "plots"),
    ("tuning",),
    ("trainer",),
    ("estimators",),
    ("tables",),
    ("persistence", "explanation"),
    (ROOT,),
    ("cli", "demo", "__main__"),
)
LAYER = {name: level for level, row in enumerate(LAYERS) for name in row}

# Two interpreters of one tape, compared by the tests: neither may lean on the other.
STRANGERS = {frozenset({"reference", "engine"})}
# Imports nothing of ours but the errors.
LEAVES = {"datasets"}

# Heavy or optional: `import deltarule` does without them.
LAZY = ("matplotlib", "numba", "onnx", "pandas", "pyarrow", "pydantic", "skops", "torch", "typer")


class Import(NamedTuple):
    """One imported name: where it stands, what it names, and whether it runs at import."""

    module: str  # the dotted module that holds the statement
    line: int
    target: str  # dotted; for "from a import b" it is "a.b"
    when: str  # "import", "types" (inside `if TYPE_CHECKING`) or "call" (inside a function)

    @property
    def at_import(self) -> bool:
        return self.when == "import"

    def __str__(self) -> str:
        return f"{self.module}:{self.line} imports {self.target}"


def dotted(path: Path, source: Path) -> str:
    parts = [PACKAGE, *path.relative_to(source).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def top_level(module: str) -> str:
    """Return the name that LAYERS knows a dotted module of ours by."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else ROOT


def is_type_checking(test: ast.expr) -> bool:
    return ast.unparse(test) in {"TYPE_CHECKING", "typing.TYPE_CHECKING"}


def statements(node: ast.AST, when: str = "import") -> Iterator[tuple[ast.AST, str]]:
    """Walk a tree, and say of each node when it runs; see ``Import.when``."""
    yield node, when
    deferred: list[ast.AST] = []
    later = "call"
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
        body = node.body if isinstance(node.body, list) else [node.body]
        deferred = list(body)
    elif isinstance(node, ast.If) and is_type_checking(node.test):
        deferred, later = list(node.body), "types"
    for child in ast.iter_child_nodes(node):
        is_deferred = when == "import" and any(child is d for d in deferred)
        yield from statements(child, later if is_deferred else when)


def targets(node: ast.AST, module: str, is_package: bool) -> list[str]:
    """Return the dotted names that one statement imports; none when it is no import."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        base = node.module or ""
        if node.level:
            parts = module.split(".")
            kept = len(parts) - node.level + (1 if is_package else 0)
            base = ".".join([*parts[:kept], *([base] if base else [])])
        return [f"{base}.{alias.name}" for alias in node.names]
    if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
        name = node.args[0] if node.args else None
        if isinstance(name, ast.Constant) and isinstance(name.value, str):
            return [name.value]
    return []


def read_imports(source: Path) -> list[Import]:
    found = []
    for path in sorted(source.rglob("*.py")):
        module = dotted(path, source)
        tree = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
        for node, when in statements(tree):
            line = getattr(node, "lineno", 0)
            for target in targets(node, module, path.name == "__init__.py"):
                found.append(Import(module, line, target, when))
    return found


@cache
def our_imports() -> list[Import]:
    return read_imports(SOURCE)


def unplaced(source: Path) -> list[str]:
    names = {p.stem if p.is_file() else p.name for p in source.iterdir() if holds_code(p)}
    return sorted(names - set(LAYER) - {"__init__"})


def holds_code(path: Path) -> bool:
    return path.suffix == ".py" if path.is_file() else any(path.rglob("*.py"))


def forbidden(found: list[Import]) -> list[str]:
    """Return a sentence for each import that does not point backwards along the line."""
    complaints = []
    for item in found:
        if item.target.split(".")[0] != PACKAGE:
            continue
        here, there = top_level(item.module), top_level(item.target)
        if here == there or here not in LAYER:  # an unplaced module has its own complaint
            continue
        if there not in LAYER:
            if item.target.count(".") > 1:  # a module without a place
                continue
            there = ROOT  # "from deltarule import Name": a name of the public face
        if here in LEAVES and there != "errors":
            complaints.append(f"{item}: {here} is a leaf and imports only the errors of deltarule")
        elif frozenset({here, there}) in STRANGERS:
            complaints.append(f"{item}: {here} and {there} never import each other")
        elif LAYER[there] > LAYER[here]:
            hint = " (import it from the module that defines it)" if there == ROOT else ""
            complaints.append(f"{item}: {there} comes after {here} on the line{hint}")
    return complaints


def circle(found: list[Import], modules: set[str]) -> list[str]:
    """Return one circle of modules that import each other, also if only for types, or []."""
    graph: dict[str, set[str]] = {module: set() for module in modules}
    for item in found:
        owner = item.target.rpartition(".")[0]
        if item.when == "call":
            continue
        target = item.target if item.target in modules else owner
        if target in modules and target != item.module:
            graph[item.module].add(target)
    done: set[str] = set()

    def visit(module: str, trail: list[str]) -> list[str]:
        if module in trail:
            return [*trail[trail.index(module) :], module]
        if module in done:
            return []
        for target in sorted(graph[module]):
            if loop := visit(target, [*trail, module]):
                return loop
        done.add(module)
        return []

    for module in sorted(graph):
        if loop := visit(module, []):
            return loop
    return []


def test_every_top_level_module_has_a_place_on_the_line() -> None:
    missing = unplaced(SOURCE)
    assert not missing, (
        f"not placed: {', '.join(missing)}. Say where each stands on the line: "
        f"add it to LAYERS in tests/{Path(__file__).name}."
    )


def test_imports_point_backwards() -> None:
    complaints = forbidden(our_imports())
    assert not complaints, "\n".join(complaints)


def test_no_import_circles() -> None:
    modules = {dotted(path, SOURCE) for path in SOURCE.rglob("*.py")}
    loop = circle(our_imports(), modules)
    assert not loop, " -> ".join(loop)


def test_torch_is_never_imported_with_a_module() -> None:
    eager = [i for i in our_imports() if i.at_import and i.target.split(".")[0] == "torch"]
    assert not eager, "\n".join(map(str, eager))


def test_importing_deltarule_leaves_heavy_packages_alone() -> None:
    assert not modules_after("deltarule") & {*LAZY, "numpy", "scipy", "sklearn"}
    # scikit-learn itself imports pandas where it is installed: what counts is what we add.
    callbacks = "sklearn.callback, " if find_spec("sklearn.callback") else ""  # from 1.9 on
    base = modules_after(callbacks + "sklearn.model_selection")
    added = modules_after("deltarule; deltarule.MLPClassifier, deltarule.Network") - base
    assert "deltarule" in added
    assert not added & set(LAZY)


def modules_after(names: str) -> set[str]:
    code = f"import json, sys, {names}; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return {name.split(".")[0] for name in json.loads(done.stdout)}


# --- the checker itself --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "code", "complaint"),
    [
        ("program/tape.py", "from deltarule import network", "network comes after program"),
        ("program/tape.py", "import deltarule.training.loop", "training comes after program"),
        ("trainer.py", "def f():\n    from .tables import model", "tables comes after trainer"),
        ("training/loop.py", "from ..network import Network", "network comes after training"),
        ("training/__init__.py", "from ..cli import main", "cli comes after training"),
        ("reference/affine.py", "from deltarule.engine import run", "never import each other"),
        ("engine/run.py", "import deltarule.reference", "never import each other"),
        ("plots/axes.py", "from deltarule import MLPClassifier", "module that defines it"),
        ("plots/axes.py", "import deltarule", "module that defines it"),
        ("datasets/__init__.py", "from deltarule.network.data import make_block", "is a leaf"),
        ("utils/load.py", "from deltarule.storage import encode", "storage comes after utils"),
        (
            "program/tape.py",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from deltarule import cli",
            "cli comes after program",
        ),
        (
            "program/tape.py",
            "import importlib\nimportlib.import_module('deltarule.cli')",
            "cli comes after",
        ),
    ],
)
def test_checker_sees_a_forward_import(
    tmp_path: Path, file: str, code: str, complaint: str
) -> None:
    path = tmp_path / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(code, encoding="utf-8")
    complaints = forbidden(read_imports(tmp_path))
    assert len(complaints) == 1
    assert complaint in complaints[0]


@pytest.mark.parametrize(
    ("file", "code"),
    [
        ("training/loop.py", "from deltarule.program.tape import Tape\nfrom . import batches"),
        ("training/loop.py", "import numpy as np\nfrom numpy import network"),
        ("storage/save.py", "from deltarule import errors"),
        ("cli/__init__.py", "from deltarule import MLPClassifier\nfrom deltarule import datasets"),
        ("__init__.py", "from deltarule.estimators import MLPClassifier"),
    ],
)
def test_checker_lets_backward_imports_pass(tmp_path: Path, file: str, code: str) -> None:
    path = tmp_path / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(code, encoding="utf-8")
    assert forbidden(read_imports(tmp_path)) == []


def test_checker_sees_a_module_without_a_place(tmp_path: Path) -> None:
    (tmp_path / "trainer.py").touch()
    (tmp_path / "novelty.py").touch()
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "__init__.py").touch()
    assert unplaced(tmp_path) == ["folder", "novelty"]


def test_checker_sees_a_circle(tmp_path: Path) -> None:
    (tmp_path / "errors.py").write_text("from deltarule import checks", encoding="utf-8")
    (tmp_path / "checks.py").write_text("from deltarule.errors import E", encoding="utf-8")
    modules = {"deltarule.errors", "deltarule.checks"}
    loop = circle(read_imports(tmp_path), modules)
    assert loop == ["deltarule.checks", "deltarule.errors", "deltarule.checks"]


def test_checker_sees_a_circle_of_imports_for_types(tmp_path: Path) -> None:
    types = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    "
    (tmp_path / "errors.py").write_text(types + "from deltarule.checks import C", encoding="utf-8")
    (tmp_path / "checks.py").write_text("from deltarule.errors import E", encoding="utf-8")
    modules = {"deltarule.errors", "deltarule.checks"}
    assert circle(read_imports(tmp_path), modules)


def test_checker_knows_what_runs_at_import(tmp_path: Path) -> None:
    code = "try:\n    import torch\nexcept ImportError:\n    pass\ndef f():\n    import torch\n"
    (tmp_path / "arrays.py").write_text(code, encoding="utf-8")
    assert [i.at_import for i in read_imports(tmp_path)] == [True, False]
