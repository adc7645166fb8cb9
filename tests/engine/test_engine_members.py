"""Members with one W, compiled: cut into tiles, of every size, on threads and on CSR inputs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_array

from deltarule import L2, SGD, Adam, AdamW, ClipNorm, Dense, Dropout, MaxNorm, Network, Scale
from deltarule.engine import Engine
from deltarule.engine.compiler import is_compiled
from deltarule.engine.work_plan import Mode, make_plan
from deltarule.program import Block
from deltarule.reference import Reference
from support.networks import one_order, random_data, random_state, train_all_steps

DTYPES = pytest.mark.parametrize("dtype", ["float64", "float32"])
BOUNDS = {"float64": 1e-11, "float32": 3e-4}


def network(sizes: tuple[int, ...], k: int, dtype: str, **given: Any) -> Network:
    """Return a classifier with dropout between hidden layers of these sizes."""
    hidden: list[Any] = []
    for units in sizes[1:-1]:
        hidden += [Dense(units, "tanh"), Dropout(0.2)]
    output = Dense(sizes[-1], "softmax" if sizes[-1] > 1 else "sigmoid")
    loss = "categorical_cross_entropy" if sizes[-1] > 1 else "binary_cross_entropy"
    return Network(sizes[0], [*hidden, output], loss, members=k, dtype=dtype, **given)


def trained(interpreter: Any, net: Network, block: Block, batch: int, steps: int = 3) -> list[Any]:
    """Return what an interpreter computes: steps, sums, outputs and losses."""
    state = random_state(net, 1)
    order = one_order(np.random.default_rng(2).permutation(block.n_rows), batch, 0.01)
    log = train_all_steps(
        interpreter, state, block, order._replace(bounds=order.bounds[: steps + 1])
    )
    sums = interpreter.gradient(state, block)
    interpreter.apply_gradient(state, sums, 0.01)
    outputs = interpreter.forward(state, block), interpreter.forward(state, block, logits=True)
    losses = interpreter.losses(state, block)
    return [state.theta, log.loss, log.penalty, sums.loss, sums.gradient, *outputs, losses]


SIZES = [
    ((30, 64, 64, 1), 8, 32),  # few tiles of rows
    ((784, 128, 10), 3, 128),  # blocks of the first W
    ((300, 40, 7), 5, 200),
    ((3, 700, 2), 4, 70),  # a member's gradient fills a thread's memory
]
CASES = [(sizes, k, batch, dtype) for sizes, k, batch in SIZES for dtype in BOUNDS]
# A row of all members is larger than that; float32 sums of so many numbers are too inexact.
CASES.append(((70_000, 2, 2), 2, 9, "float64"))


@pytest.mark.skipif(not is_compiled(), reason="too slow as plain Python")
@pytest.mark.parametrize(("sizes", "k", "batch", "dtype"), CASES, ids=str)
def test_steps_that_are_cut_into_tiles(
    sizes: tuple[int, ...], k: int, batch: int, dtype: str
) -> None:
    net = network(sizes, k, dtype, penalties=[L2(1e-3)], constraints=[MaxNorm(2.0)])
    data = random_data(net, 2 * batch + 13, 1)
    for optimizer, clipping in ((AdamW(epsilon=1e-3), None), (SGD(momentum=0.9), ClipNorm(0.1))):
        ours, theirs = (
            trained(kind(net.tape, optimizer, clipping), net, data.block, batch)
            for kind in (Engine, Reference)
        )
        for a, b in zip(ours, theirs, strict=True):
            room = BOUNDS[dtype] * max(1e-3, float(np.max(np.abs(b))))
            assert np.max(np.abs(np.asarray(a, float) - np.asarray(b, float))) <= room


@pytest.mark.skipif(not is_compiled(), reason="plain Python has one thread")
@DTYPES
@pytest.mark.parametrize("kind", ["dense", "csr", "scaled", "dropped"])
def test_same_bits_at_any_number_of_threads(
    kind: str, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = network((120, 96, 64, 10), 6, dtype)
    first: list[Any] = {"scaled": [Scale()], "dropped": [Dropout(0.1)]}.get(kind, [])
    net = Network(120, [*first, *net.layers], net.loss, members=6, dtype=dtype)
    data = random_data(net, 300, 1)
    x = csr_array(data.x * (data.x > 1)) if kind == "csr" else data.x
    block = Block(x, data.y, data.weight)

    def run(n_threads: int) -> list[bytes]:
        monkeypatch.setenv("_DELTARULE_FORCE_THREADS", str(n_threads))
        found = trained(Engine(net.tape, Adam(0.01)), net, block, 64)
        return [np.asarray(array).tobytes() for array in found]

    assert not make_plan(net.tape, Mode.TRAIN, 64).is_small
    alone = run(1)
    for n_threads in (2, 3, 8):
        assert run(n_threads) == alone


def test_a_rows_prediction_depends_on_no_other_row() -> None:
    net = network((30, 20, 3), 4, "float32")
    state, data = random_state(net, 1), random_data(net, 700, 1)
    engine = Engine(net.tape)
    whole = engine.forward(state, Block(data.x))
    for rows in (slice(0, 1), slice(3, 70), slice(100, 690)):
        assert engine.forward(state, Block(data.x[rows])).tobytes() == whole[rows].tobytes()


@pytest.mark.parametrize("first", [[], [Scale()], [Dropout(0.3), Scale()]], ids=str)
def test_scale_layers_between_layers_that_are_cut_by_columns(first: list[Any]) -> None:
    layers = [*first, Dense(600, "tanh"), Scale(), Dropout(0.2), Scale(), Dense(520, "relu")]
    net = Network(500, [*layers, Scale(), Dense(3, "softmax")], "categorical_cross_entropy")
    data = random_data(net, 150, 1)
    for x in (data.x, csr_array(data.x * (data.x > 1))):
        block = Block(x, data.y, data.weight)
        ours, theirs = (
            trained(kind(net.tape, Adam(epsilon=1e-3)), net, block, 70)
            for kind in (Engine, Reference)
        )
        for a, b in zip(ours, theirs, strict=True):
            room = 1e-10 * max(1e-3, float(np.max(np.abs(b))))
            assert np.max(np.abs(np.asarray(a) - np.asarray(b))) <= room


@pytest.mark.skipif(not is_compiled(), reason="plain Python has one thread")
def test_an_interrupted_call_leaves_memory_for_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel that was left in the middle would otherwise hold its area for ever."""
    monkeypatch.setenv("_DELTARULE_FORCE_THREADS", "2")
    net = network((300, 64, 3), 4, "float64")
    data, engine = random_data(net, 128, 1), Engine(net.tape)
    state = random_state(net, 1)
    expected = engine.gradient(state, data.block).gradient
    [buffers] = engine._free[Mode.SUMS, False]
    assert buffers.context.n_scratch == 2
    buffers._flags[:] = 1
    np.testing.assert_array_equal(engine.gradient(state, data.block).gradient, expected)
