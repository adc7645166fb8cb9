"""The benchmarks run: every engine that is installed is measured. No time is asserted."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest

from support.paths import ROOT

BENCHMARKS = ROOT / "benchmarks"
mpl.use("Agg")


@pytest.fixture(autouse=True)
def _benchmarks_can_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))


def tiny(**changes: Any) -> Any:
    from speed.cases import Case

    values = {"name": "tiny", "widths": (5, 4, 3), "batch": 8, "rows": 20} | changes
    return Case(**values)


def installed(engine: str) -> bool:
    needs = {"torch eager": "torch", "torch.compile": "torch", "JAX scan": "jax"}
    return engine not in needs or importlib.util.find_spec(needs[engine]) is not None


@pytest.mark.parametrize(
    ("dtype", "outputs"),
    [("float32", 1), pytest.param("float64", 3, marks=pytest.mark.long)],
)
def test_engines_are_measured_alternately(dtype: str, outputs: int) -> None:
    from speed.interleaved_timing import ENGINES, time_interleaved

    case = tiny(widths=(5, 4, outputs), dtype=dtype)
    chosen = [name for name in ENGINES if name != "torch.compile"]  # a minute of compilation
    measured = time_interleaved({name: (ENGINES[name], case) for name in chosen}, rounds=2)
    for name, seen in measured.items():
        if installed(name):
            assert seen.failed is None, f"{name}: {seen.failed}"
            assert seen.best is not None
            assert seen.best > 0
            assert all(len(times) == 2 for times in seen.seconds.values())
        else:
            assert "No module named" in str(seen.failed)


@pytest.mark.long
def test_the_step_count_is_that_of_the_fit() -> None:
    from speed.interleaved_timing import worker

    case = tiny()
    for module in ("ours", "scikit", "blas_baseline"):
        with worker(module, case.spec()) as process:
            assert process.ask(epochs=2, threads=1)["steps"] == 6  # 20 rows by 8: 3 batches


@pytest.mark.long
def test_variants_and_concurrent_fits_and_memory() -> None:
    from speed.cases import variants
    from speed.interleaved_timing import worker

    cases = variants(tiny(rows=16))
    for name in ("relu", "batch norm", "dropout"):
        with worker("ours", cases[name].spec()) as process:
            assert process.ask(epochs=1, threads=2, memory=True)["bytes"] >= 0
            assert process.ask(epochs=1, threads=2, at_once=2)["seconds"] > 0


def test_streamed_rows() -> None:
    from speed.interleaved_timing import worker

    case = tiny(widths=(5, 4, 4, 1), rows=100)
    with worker("stream", case.spec()) as process:
        assert process.ask(memory=True)["bytes"] >= 0
        assert process.ask(epochs=2)["steps"] == 2 * 13


@pytest.mark.parametrize(
    "options",
    [
        {"what": "predict_proba", "library": "deltarule"},
        pytest.param({"what": "partial_fit", "library": "deltarule"}, marks=pytest.mark.long),
        pytest.param({"what": "predict_proba", "library": "scikit-learn"}, marks=pytest.mark.long),
        {"what": "partial_fit", "library": "scikit-learn"},
        {"what": "predictor"},
    ],
)
def test_small_calls(options: dict[str, str]) -> None:
    from speed.interleaved_timing import worker

    with worker("latency", tiny(widths=(5, 4, 1)).spec() | options) as process:
        assert process.ask(epochs=1)["seconds"] > 0


@pytest.mark.parametrize("dress", ["DataFrame", pytest.param("dict", marks=pytest.mark.long)])
def test_a_row_of_a_table(dress: str) -> None:
    from speed.interleaved_timing import worker

    options = {"members": 1, "numbers": 2, "categories": 1, "dress": dress}
    with worker("table_row", tiny().spec() | options) as process:
        assert process.ask(epochs=1)["seconds"] > 0


@pytest.mark.parametrize(
    "what",
    [
        "kernels",
        pytest.param("interpreter", marks=pytest.mark.long),
        pytest.param("predict_proba", marks=pytest.mark.long),
        "onnxruntime",
    ],
)
def test_predictions(what: str) -> None:
    from speed.interleaved_timing import WorkerError, worker

    with worker("predictions", tiny().spec() | {"what": what}) as process:
        if what == "onnxruntime" and importlib.util.find_spec(what) is None:
            with pytest.raises(WorkerError, match="No module named"):
                process.ask(epochs=1, threads=1)
        else:
            assert process.ask(epochs=1, threads=1)["seconds"] > 0


def test_first_predictions(tmp_path: Path) -> None:
    from speed.targets import _first, _processes

    _processes("speed.first_model", [str(tmp_path)], 1)
    for file in ("table", "classifier"):
        assert _first(str(tmp_path / file), 1)["MiB"] > 1


def test_a_worker_reports_why_it_failed() -> None:
    from speed.interleaved_timing import Worker, WorkerError, worker

    with pytest.raises(WorkerError, match="no_such_engine"):
        Worker("no_such_engine", {})
    spec = tiny(arguments={"no_such_argument": 1}).spec()
    with worker("scikit", spec) as process, pytest.raises(WorkerError, match="no_such_argument"):
        process.ask(epochs=1, threads=1)


def test_the_baseline_computes_the_products_of_a_step() -> None:
    from speed.workers import blas_baseline

    case = tiny(widths=(5, 4, 3), batch=8, dtype="float64")
    products, arrays = blas_baseline._products(case)
    X, dZ, W, dW = (arrays[k : k + 3] for k in (0, 3, 6, 8))
    blas_baseline._runner("float64")(blas_baseline._address("dgemm"), 1, products)
    np.testing.assert_allclose(X[1], X[0] @ W[0])
    np.testing.assert_allclose(X[2], X[1] @ W[1])
    np.testing.assert_allclose(dW[1], X[1].T @ dZ[2])
    np.testing.assert_allclose(dZ[1], dZ[2] @ W[1].T)
    assert len(products) == 5


def test_the_commands_run(tmp_path: Path) -> None:
    file = tmp_path / "measured.json"
    done = subprocess.run(
        [sys.executable, BENCHMARKS / "bench.py", "--cases=S", "--dtypes=float32", "--rounds=1",
         "--epochs=1", "--only=deltarule,scikit-learn,BLAS baseline", "--figures=",
         f"--json={file}"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "÷ baseline" in done.stdout
    assert set(json.loads(file.read_text())["measured"][0]["engines"]) == {
        "deltarule", "scikit-learn", "BLAS baseline",
    }  # fmt: skip


def test_verdicts_and_tables() -> None:
    import bench
    from speed.interleaved_timing import Measured

    case = bench.CASES["S"]
    measured = {
        "deltarule": Measured({None: [2e-6, 1e-6]}),
        "scikit-learn": Measured({1: [20e-6], 2: [14e-6]}),
        "JAX scan": Measured({None: [2.7e-6]}),
        "torch eager": Measured(failed="ModuleNotFoundError: No module named 'torch'"),
        "BLAS baseline": Measured({1: [0.5e-6]}),
    }
    text = bench.table(case, measured).markdown()
    assert "| deltarule | 1.0 | 1.00× | 2.00× | its own choice | ≤ 1.9× baseline ✗ |" in text
    assert "| scikit-learn | 14.0 | 14.00× | 28.00× | 2 | ≥ 15× ✗ |" in text
    assert "≥ 2.5× ✓" in text
    assert "skipped: ModuleNotFoundError" in text


def test_a_document_keeps_what_is_not_between_the_markers(tmp_path: Path) -> None:
    from speed.report import put

    document = tmp_path / "performance.md"
    document.write_text("before\n<!-- begin a -->\nold\n<!-- end a -->\nafter\n")
    put(document, "a", "new")
    put(document, "b", "more")
    text = document.read_text()
    assert "old" not in text
    assert text.index("before") < text.index("new") < text.index("after") < text.index("more")


def test_pictures_are_drawn(tmp_path: Path) -> None:
    from speed.pictures import Line, Panel, draw

    lines = [
        Line("deltarule", [8, 16], [1.0, 2.0]),
        Line("BLAS baseline", [8, 16], [0.5, 1.0], True),
    ]
    draw(
        [Panel("a", "b", "c", lines), Panel("d", "e", "f", lines, "s", 10, True)],
        tmp_path / "p.png",
    )
    assert (tmp_path / "p.png").stat().st_size > 1000
