"""Waves and blocks of groups of columns, compiled: tiles, threads and CSR inputs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_array

from deltarule import L2, Adam, AdamW, ClipNorm, Dense, Dropout, Embedding, Network, Periodic, Scale
from deltarule.engine import Engine
from deltarule.engine.compiler import is_compiled
from deltarule.engine.work_plan import Mode, make_plan
from deltarule.program import Block
from deltarule.reference import Reference
from engine.test_engine_members import BOUNDS, trained
from support.networks import random_data, random_state

FIRST: dict[str, list[Any]] = {
    "periodic": [Periodic(range(0, 60, 2), frequencies=9, units=5)],
    "embedding": [Embedding([(3, 40), (41, 60)], units=7)],
    "all": [
        Dropout(0.2), Scale(), Periodic(frequencies=4, units=3), Embedding([(0, 9), (50, 71)], 4),
        Dropout(0.1), Scale(),
    ],
}  # fmt: skip


def network(kind: str, dtype: str, width: int = 64) -> Network:
    layers = [*FIRST[kind], Dense(width, "tanh"), Dropout(0.2), Dense(5, "softmax")]
    loss = "categorical_cross_entropy"
    return Network(71, layers, loss, penalties=[L2(1e-3)], dtype=dtype)


@pytest.mark.skipif(not is_compiled(), reason="too slow as plain Python")
@pytest.mark.parametrize(
    ("width", "kind", "dtype"),  # by rows, and by columns
    [
        *((64, kind, dtype) for kind in FIRST for dtype in BOUNDS),
        *((2600, kind, "float32" if kind == "periodic" else "float64") for kind in FIRST),
        *(
            pytest.param(
                2600, kind, "float64" if kind == "periodic" else "float32", marks=pytest.mark.long
            )
            for kind in FIRST
        ),
    ],
)
def test_steps_that_are_cut_into_tiles(kind: str, dtype: str, width: int) -> None:
    net = network(kind, dtype, width)
    data = random_data(net, 213, 1)
    sparse = csr_array(data.x * (data.x > 1))
    for x in (data.x, sparse):
        block = Block(x, data.y, data.weight)
        for optimizer, clipping in ((AdamW(epsilon=1e-3), None), (Adam(epsilon=1e-3), ClipNorm(1))):
            ours, theirs = (
                trained(make(net.tape, optimizer, clipping), net, block, 100)
                for make in (Engine, Reference)
            )
            for a, b in zip(ours, theirs, strict=True):
                room = BOUNDS[dtype] * max(1e-3, float(np.max(np.abs(b))))
                assert np.max(np.abs(np.asarray(a, float) - np.asarray(b, float))) <= room


@pytest.mark.skipif(not is_compiled(), reason="plain Python has one thread")
@pytest.mark.parametrize("kind", list(FIRST))
def test_same_bits_at_any_number_of_threads(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    net = network(kind, "float32", 300)
    data = random_data(net, 300, 1)

    def run(n_threads: int) -> list[bytes]:
        monkeypatch.setenv("_DELTARULE_FORCE_THREADS", str(n_threads))
        found = trained(Engine(net.tape, Adam(0.01)), net, data.block, 128)
        return [np.asarray(array).tobytes() for array in found]

    assert not make_plan(net.tape, Mode.TRAIN, 128).is_small
    alone = run(1)
    for n_threads in (2, 3, 8):
        assert run(n_threads) == alone


def test_a_rows_prediction_depends_on_no_other_row() -> None:
    net = network("all", "float32")
    state, data = random_state(net, 1), random_data(net, 700, 1)
    engine = Engine(net.tape)
    whole = engine.forward(state, Block(data.x))
    for rows in (slice(0, 1), slice(3, 70), slice(100, 690)):
        assert engine.forward(state, Block(data.x[rows])).tobytes() == whole[rows].tobytes()
