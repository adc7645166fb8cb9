"""Wide layers, whose gradients are computed and stepped along part by part: the same numbers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deltarule import L1, L2, Adam, AdamW, ClipNorm, Dense, Network
from deltarule.engine import Engine, compiler
from deltarule.program import BatchSchedule
from deltarule.reference import Reference
from support.networks import random_data, random_state, train_all_steps
from support.paths import TESTS

NEVER = ClipNorm(1e30)  # the gradient is computed as a whole, and not changed
# Rows of W of 4 to 16 KB, some of them no whole number of vectors or of runs of 4096 numbers
# (400 x 1030: parts on long vectors; 800 x 2051: parts on any).
SIZES = [(400, 1030, 3), (800, 2051, 3), (1024, 1024, 2)]
PENALTIES: list[Any] = [L2(0.01), L1(1e-4, proximal=True)]


def trained(sizes: tuple[int, ...], dtype: str, optimizer: Any = None, **options: Any) -> Any:
    """Return θ, the optimiser's averages and the penalties after two steps of 70 rows."""
    interpreter, penalties = options.pop("interpreter", Engine), options.pop("penalties", [])
    net = Network(
        sizes[0],
        [*(Dense(units, "tanh") for units in sizes[1:-1]), Dense(sizes[-1], "softmax")],
        "categorical_cross_entropy",
        penalties=penalties,
        dtype=dtype,
    )
    state = random_state(net, 1)
    engine = interpreter(net.tape, optimizer or Adam(epsilon=1e-3), **options)
    order = BatchSchedule(np.arange(140)[::-1].copy(), np.array([0, 70, 140]), np.full(2, 0.01))
    log = train_all_steps(engine, state, random_data(net, 140, 0).block, order)
    averages = [a for a in state.optimizer_state._asdict().values() if np.ndim(a) == 1]
    return [state.theta, *averages, log.loss, log.penalty]


@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("penalties", [[], PENALTIES], ids=["plain", "penalties"])
def test_parts_of_a_gradient_have_the_bits_of_the_whole(
    sizes: tuple[int, ...], dtype: str, penalties: list[Any]
) -> None:
    if not compiler.is_compiled():
        pytest.skip("NumPy's products promise no bits")
    for optimizer in (Adam(), AdamW(weight_decay=0.1)):
        parts = trained(sizes, dtype, optimizer, penalties=penalties)
        whole = trained(sizes, dtype, optimizer, penalties=penalties, clipping=NEVER)
        for a, b in zip(parts, whole, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("sizes", SIZES[:2], ids=str)
def test_threads_do_not_change_the_bits(
    sizes: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for threads in (1, 2, 3, 8):
        monkeypatch.setenv("_DELTARULE_FORCE_THREADS", str(threads))
        found.append(trained(sizes, "float32", penalties=PENALTIES))
    for other in found[1:]:
        for a, b in zip(found[0], other, strict=True):
            np.testing.assert_array_equal(a, b)


def compare_with_the_reference(*dtypes: str) -> None:
    """Assert that steps of both interpreters agree; other processes call this, too."""
    for sizes in SIZES[:2]:
        for dtype in dtypes:
            bound = {"float64": 1e-11, "float32": 1e-4}[dtype]
            ours = trained(sizes, dtype, penalties=PENALTIES)
            theirs = trained(sizes, dtype, penalties=PENALTIES, interpreter=Reference)
            for a, b in zip(ours, theirs, strict=True):
                np.testing.assert_allclose(a, b, rtol=0, atol=bound * np.abs(b).max())
    print("right")


def test_steps_equal_those_of_the_reference() -> None:
    compare_with_the_reference("float64", "float32")


@pytest.mark.parametrize("dtype", ["float64", pytest.param("float32", marks=pytest.mark.long)])
def test_steps_with_checked_indices(dtype: str) -> None:
    script = f"import test_wide_layers as t; t.compare_with_the_reference({dtype!r})"
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | {"DELTARULE_CHECK_BOUNDS": "1", "PYTHONPATH": str(TESTS)},
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() == "right", done.stderr
