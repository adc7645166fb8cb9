"""One program, two interpreters: the compiled engine gives the results of the reference.

Random networks of every kind, random optimisers, clipping, weights, batch sizes with a short last
batch, dense and CSR inputs: sums, steps, outputs, and everything in the state.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import assume, note
from hypothesis import strategies as st
from scipy.sparse import csr_array

from deltarule import (
    L1,
    L2,
    SGD,
    Adadelta,
    Adagrad,
    Adam,
    AdamW,
    BatchNorm,
    ClipNorm,
    ClipValue,
    Dense,
    Dropout,
    EMAMomentum,
    Embedding,
    MaxNorm,
    Nadam,
    Network,
    Parametric,
    Periodic,
    RMSprop,
    Rprop,
    Scale,
)
from deltarule.engine import Engine
from deltarule.errors import DataError, ShapeError
from deltarule.program import BatchSchedule, Block, State
from deltarule.program.optimizer_state import SquareState
from deltarule.reference import Reference
from deltarule.training.batches import batch_bounds
from support.networks import (
    ACTIVATIONS,
    HEADS,
    SEEDS,
    least_outputs,
    proves,
    random_data,
    random_state,
    train_all_steps,
)
from support.paths import TESTS
from support.strategies import whole_networks

# Where g is rounding noise about 0, g/√g² is noise about ±1: a larger ε keeps the step a
# continuous function of the gradient. The usual ε has its own test below.
EPSILON = 1e-3
OPTIMIZERS: list[Any] = [
    SGD(),
    SGD(momentum=0.9),
    SGD(momentum=0.9, nesterov=True),
    EMAMomentum(),
    RMSprop(epsilon=EPSILON),
    Adam(epsilon=EPSILON),
    AdamW(epsilon=EPSILON, weight_decay=0.1),
    Nadam(epsilon=EPSILON),
    Adagrad(epsilon=EPSILON),
    Adadelta(epsilon=EPSILON),
]
CLIPPING = st.sampled_from([None, ClipNorm(0.3), ClipValue(0.05)])
CONSTRAINTS = st.sampled_from(
    [
        (),
        (MaxNorm(0.8),),
        (MaxNorm(1.5, per="network"),),
        (MaxNorm(0.8), MaxNorm(1.0, per="network")),
    ]
)
BOUNDS = {"float64": 1e-12, "float32": 2e-5}


def distance(ours: Any, theirs: Any, floor: float) -> float:
    """Return the largest difference, relative to the largest number, or to a floor above it."""
    a, b = np.asarray(ours, dtype=np.float64), np.asarray(theirs, dtype=np.float64)
    assert a.shape == b.shape
    if a.size == 0 or np.array_equal(a, b, equal_nan=True):
        return 0.0
    return float(np.max(np.abs(a - b)) / max(np.max(np.abs(b)), floor))


def order_of(n: int, batch_size: int, rate: float, seed: int, least: int) -> BatchSchedule:
    """Return a shuffled epoch whose last batch may be short."""
    rows = np.random.default_rng(seed).permutation(n)
    bounds = batch_bounds(n, batch_size, least=least)
    return BatchSchedule(rows, bounds, np.linspace(rate, rate / 2, len(bounds) - 1))


def run(interpreter: Any, state: State, block: Block, order: BatchSchedule) -> dict[str, Any]:
    """Return every result of an interpreter for a state, a block and an epoch of steps."""
    sums = interpreter.gradient(state, block, first=3)
    seen = {"sums": sums.gradient, "sum of losses": sums.loss, "weight": sums.weight}
    seen |= {f"moment {i}": moment for i, moment in enumerate(sums.moments)}
    loss, penalty, gradient = interpreter.cost(state, sums)
    seen |= {"cost": loss + penalty, "its gradient": gradient}
    steps = train_all_steps(interpreter, state, block, order)
    seen |= {"rows": steps.rows, "weights": steps.weight, "theta": state.theta.copy()}
    seen |= {"losses": steps.loss, "penalties": steps.penalty}
    seen |= {
        f"optimiser {name}": np.copy(value)
        for name, value in state.optimizer_state._asdict().items()
    }
    seen |= dict(state.buffers)
    seen["outputs"] = interpreter.forward(state, block)
    seen["logits"] = interpreter.forward(state, block, logits=True)
    seen["row losses"] = interpreter.losses(state, block)
    seen["outputs of both"], seen["losses of both"] = interpreter.evaluation(block)(state)
    interpreter.apply_gradient(state, interpreter.gradient(state, block), 0.01)
    return seen | {"theta after apply": state.theta.copy(), "step": state.step}


def an_ulp_away(numbers: Any, rng: np.random.Generator) -> Any:
    """Return numbers one ulp larger or smaller, by chance; 0 stays."""
    ends = rng.choice(np.array([-np.inf, np.inf], dtype=numbers.dtype), numbers.shape)
    return np.where(numbers == 0, numbers, np.nextafter(numbers, ends))


class Case(NamedTuple):
    """A network, its data and its training options."""

    net: Network
    optimizer: Any
    clipping: Any
    order: BatchSchedule
    data: Any
    seed: int
    sparse: bool = False

    def run_by(self, interpreter: Any, nudge: int | None = None) -> dict[str, Any]:
        """Return what an interpreter computes; ``nudge`` moves inputs and θ by an ulp."""
        net, data, dtype = self.net, self.data, self.net.dtype
        x = data.x * (np.abs(data.x) > 0.5) if self.sparse else data.x
        targets = np.repeat(data.y, net.n_outputs // data.y.shape[1], axis=1)  # quantiles' levels
        arrays = [np.ascontiguousarray(a, dtype=dtype) for a in (x, targets)]
        weight = None if data.weight is None else data.weight.astype(dtype)
        block = Block(csr_array(arrays[0]) if self.sparse else arrays[0], arrays[1], weight)
        theta = random_state(self.net, self.seed).theta
        if nudge is not None:
            rng = np.random.default_rng(nudge)
            theta = an_ulp_away(theta, rng)
            dense = an_ulp_away(arrays[0], rng)
            block = block._replace(x=csr_array(dense) if self.sparse else dense)
        state = State(theta, seed=self.seed, step=self.seed % 5)
        return run(interpreter(net.tape, self.optimizer, self.clipping), state, block, self.order)


class Rounded(Reference):
    """The reference with other roundings: each number that an instruction gives moves by an ulp.

    Both interpreters round every one of these numbers, but not the same way. This is Monte Carlo
    arithmetic (Parker 1997): how far the results move is the effect of rounding. It may be large:
    hard_sigmoid adds 0.5 to small numbers, which loses their last digits, and batch norm then
    divides what is left by its small deviation.
    """

    def __init__(self, tape: Any, optimizer: Any, clipping: Any, seed: int) -> None:
        super().__init__(tape, optimizer, clipping)
        self._rng = np.random.default_rng(seed)

    def _moved(self, result: Any) -> Any:
        if isinstance(result, tuple):
            return tuple(self._moved(part) for part in result)
        if not isinstance(result, np.ndarray):  # CSR, or no derivative of the data
            return result
        return an_ulp_away(result, self._rng)

    def _run(self, *args: Any) -> Any:
        value, pullback = super()._run(*args)
        return self._moved(value), lambda dz: self._moved(pullback(dz))

    def row_losses(self, trace: Any, block: Block) -> Any:
        """Move a − y by an ulp of a and y: a loss of logits rounds a, and a − y loses digits."""
        losses, pull = super().row_losses(trace, block)

        def pullback(weight: Any) -> Any:
            given = pull(weight)
            size = np.abs(given) + weight[:, None] * np.tile(np.abs(block.y), self.tape.members)
            ulps = self._rng.choice([-1, 1], size.shape) * np.finfo(size.dtype).eps
            return given + (ulps * size).astype(size.dtype)

        return losses, pullback


def worst_of(case: Case) -> tuple[float, str]:
    """Return the largest ratio of the two interpreters' distance to its bound, and its name.

    Where other roundings move the reference itself by more than a fifth of the bound, the bound is
    five times that.
    """
    dtype = case.net.dtype
    floor = float(np.finfo(dtype).eps)
    theirs = case.run_by(Reference)
    numbers = [np.asarray(v, dtype=float).ravel() for v in theirs.values()]
    if not np.isfinite(np.concatenate(numbers)).all() or np.abs(theirs["theta"]).max() > 1e6:
        return float("nan"), "the reference diverges"
    ours = case.run_by(Engine)
    assert ours.keys() == theirs.keys()
    nudged = [case.run_by(partial(Rounded, seed=seed), seed) for seed in range(3)]
    ratios = {}
    for name, value in theirs.items():
        own = max(distance(other[name], value, floor) for other in nudged)
        ratios[name] = distance(ours[name], value, floor) / max(BOUNDS[dtype], 5 * own)
    worst = max(ratios, key=lambda name: ratios[name])
    return ratios[worst], worst


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@proves(
    short=15,
    full=500,
    net=whole_networks(),
    optimizer=st.sampled_from(OPTIMIZERS),
    clipping=CLIPPING,
    constraints=CONSTRAINTS,
    n=st.integers(3, 23),
    batch_size=st.integers(2, 9),
    seed=SEEDS,
    weighted=st.booleans(),
    sparse=st.booleans(),
)
def test_the_engine_equals_the_reference(
    dtype: str,
    net: Network,
    optimizer: Any,
    clipping: Any,
    constraints: Any,
    n: int,
    batch_size: int,
    seed: int,
    weighted: bool,
    sparse: bool,
) -> None:
    net = replace(net, dtype=dtype, constraints=constraints)
    data = random_data(net, n, seed)
    if not weighted:
        data = replace(data, weight=None)
    order = order_of(n, batch_size, 0.01, seed, net.tape.min_rows)
    order = BatchSchedule(order.rows, order.bounds[:6], order.learning_rates[:5])
    ratio, name = worst_of(Case(net, optimizer, clipping, order, data, seed, sparse))
    assume(not np.isnan(ratio))
    note(f"{name}: {ratio:.2g} of the bound")
    assert ratio <= 1


def layered(dtype: str, sizes: tuple[int, ...], **layer: Any) -> Network:
    """Return a classifier with batch norm and dropout between layers of these sizes."""
    hidden: list[Any] = []
    for units in sizes[1:-1]:
        hidden += [Dense(units, "tanh", **layer), Dropout(0.2)]
    return Network(
        sizes[0],
        [*hidden, Dense(sizes[-1], "softmax")],
        "categorical_cross_entropy",
        penalties=[L2(0.01, normalization="batch")],
        dtype=dtype,
    )


TILED = {
    "by rows": ((30, 64, 64, 3), 200),
    "by rows, much": ((300, 128, 10), 128),
    "by columns": ((200, 520, 520, 10), 96),
}
TILED_CASES = [
    pytest.param(
        dtype, *cut, norm, id=f"{'batch norm' if norm else 'plain'}-{name}-{dtype}",
        # Long steps of the reference: in the short form every value, but not every pair.
        marks=pytest.mark.long if name == "by columns" and single == (norm is None) else [],
    )
    for norm in (None, BatchNorm())
    for name, cut in TILED.items()
    for dtype, single in (("float64", False), ("float32", True))
]  # fmt: skip


@pytest.mark.parametrize(("dtype", "sizes", "batch_size", "norm"), TILED_CASES)
def test_steps_that_are_cut_into_tiles(
    dtype: str, sizes: tuple[int, ...], batch_size: int, norm: Any
) -> None:
    net = layered(dtype, sizes, batch_norm=norm)
    n = 2 * batch_size + 13
    order = order_of(n, batch_size, 0.01, 0, net.tape.min_rows)
    for optimizer, clipping in ((SGD(momentum=0.9), ClipNorm(0.1)), (Adam(epsilon=EPSILON), None)):
        case = Case(net, optimizer, clipping, order, random_data(net, n, 1), 1)
        ratio, name = worst_of(case)
        assert ratio <= 1, name


@pytest.mark.parametrize("optimizer", [Adam(), Nadam(), RMSprop(), Adagrad(), Rprop()], ids=repr)
def test_optimisers_with_their_own_constants(optimizer: Any) -> None:
    net = Network(4, [Dense(6, "tanh"), Dense(2)], "squared_error")
    order = order_of(40, 40 if isinstance(optimizer, Rprop) else 7, 0.01, 0, 1)
    case = Case(net, optimizer, None, order, random_data(net, 40, 2), 2)
    ratio, name = worst_of(case)
    assert ratio <= 1, name


def spot_checks() -> None:
    """Compare a few networks that use every kernel; processes with other settings call this."""
    rng = np.random.default_rng(0)
    for i, name in enumerate(ACTIVATIONS):
        loss, output = HEADS[i * len(HEADS) // len(ACTIVATIONS)]
        units = least_outputs(loss, output)
        norm = BatchNorm("post_activation" if i % 2 else "pre_activation") if i % 3 == 0 else None
        layers = [Dropout(0.2), Dense(3, name, batch_norm=norm), Dropout(0.4), Dense(units, output)]
        penalties = [L2(0.1), L1(0.01, proximal=i % 4 == 0)]
        constraints = [(), (MaxNorm(0.8),), (MaxNorm(1.0, per="network"),)][i % 3]
        net = Network(3, layers, loss, penalties=penalties, constraints=constraints)
        clipping = [None, ClipNorm(0.3), ClipValue(0.05)][i % 3]
        order = order_of(9, 4, 0.01, i, 2)
        case = Case(
            net, OPTIMIZERS[i % len(OPTIMIZERS)], clipping, order, random_data(net, 9, i),
            int(rng.integers(100)), i % 2 == 0,
        )  # fmt: skip
        ratio, where = worst_of(case)
        assert ratio <= 1, (name, loss, output, where)
    for i, first in enumerate(([], [Dropout(0.2), Scale()])):
        layers = [*first, Dense(3, "tanh"), Dropout(0.4), Dense(4, "softmax"), Dense(1 + i, "exp")]
        for sparse in (False, True):
            net = Network(3, layers, "poisson", penalties=[L2(0.1)], members=6)
            data, order = random_data(net, 9, i), order_of(9, 4, 0.01, i, 1)
            case = Case(net, AdamW(epsilon=EPSILON), None, order, data, 7, sparse)
            ratio, where = worst_of(case)
            assert ratio <= 1, (layers, sparse, where)
    columns = [Scale(), Periodic([0, 2], 3, 2), Embedding([(1, 3)], 2), Dropout(0.2)]
    for i, first in enumerate((columns, columns[1:], columns[2:])):
        layers = [*first, Dense(3, Parametric("tanh")), Dense(2, "softmax")]
        net = Network(4, layers, "categorical_cross_entropy", penalties=[L2(0.1)])
        data, order = random_data(net, 9, i), order_of(9, 4, 0.01, i, 1)
        case = Case(net, AdamW(epsilon=EPSILON), ClipNorm(0.3), order, data, 7, i == 1)
        ratio, where = worst_of(case)
        assert ratio <= 1, (layers, where)


@pytest.mark.parametrize(
    "setting", [{"NUMBA_DISABLE_JIT": "1"}, {"DELTARULE_CHECK_BOUNDS": "1"}], ids=str
)
def test_kernels_as_plain_python_and_with_every_index_checked(setting: dict[str, str]) -> None:
    script = "import test_engine_parity; test_engine_parity.spot_checks(); print('right')"
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | setting | {"PYTHONPATH": str(TESTS)},
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() == "right", done.stderr


# --- what must not reach a kernel -----------------------------------------------------------------


def small() -> tuple[Engine, State, Block, BatchSchedule]:
    net = Network(3, [Dense(4, "relu"), Dense(2)], "squared_error")
    data = random_data(net, 10, 0)
    return Engine(net.tape), random_state(net, 0), data.block, order_of(10, 4, 0.1, 0, 1)


@pytest.mark.parametrize("row", [-1, 10, 2**40])
def test_rows_outside_the_block_are_refused(row: int) -> None:
    engine, state, block, order = small()
    order.rows[3] = row
    with pytest.raises(DataError, match="row numbers from 0 to 9"):
        engine.train_steps(state, block, order, range(3))


@pytest.mark.parametrize("bounds", [[0, 4, 11], [-1, 4, 10], [0, 6, 4], [0, 4, 4]])
def test_bounds_outside_the_rows_are_refused(bounds: list[int]) -> None:
    engine, state, block, order = small()
    damaged = order._replace(bounds=np.array(bounds))
    with pytest.raises(DataError, match="bounds must increase"):
        engine.train_steps(state, block, damaged, range(2))


def test_invalid_csr_inputs_are_refused() -> None:
    engine, state, block, order = small()
    x = csr_array(block.x)
    x.indices[2] = 7
    with pytest.raises(DataError, match="invalid CSR"):
        engine.train_steps(state, block._replace(x=x), order, range(1))


@pytest.mark.parametrize(
    ("name", "array", "error"),
    [
        ("y", np.zeros((10, 3)), ShapeError),
        ("y", np.zeros((9, 2)), ShapeError),
        ("y", np.zeros((10, 2), "float32"), DataError),
        ("weight", np.ones(9), ShapeError),
        ("x", np.zeros((10, 4)), ShapeError),
    ],
)
def test_arrays_that_do_not_fit_are_refused(name: str, array: Any, error: type) -> None:
    engine, state, block, order = small()
    with pytest.raises(error):
        engine.train_steps(state, block._replace(**{name: array}), order, range(1))
    assert state.step == 0


@pytest.mark.parametrize("theta", [np.zeros(3), np.zeros(26, "float32"), [0.0] * 26])
def test_a_state_of_another_network_is_refused(theta: Any) -> None:
    engine, _, block, order = small()
    with pytest.raises(DataError, match=r"state\.theta must be"):
        engine.train_steps(State(theta), block, order, range(1))


@pytest.mark.parametrize("interpreter", [Engine, Reference])
@pytest.mark.parametrize(
    "change",
    [
        lambda s: {"optimizer_state": SquareState(s.theta)},
        lambda s: {"optimizer_state": s.optimizer_state._replace(v=s.theta[:1])},
        lambda s: {"optimizer_state": s.optimizer_state._replace(v=s.theta.astype(np.float32))},
        lambda s: {"optimizer_state": s.optimizer_state._replace(t=2**63)},
        lambda s: {"step": 2**63},
        lambda s: {"seed": 2**63},
    ],
)
def test_a_state_that_does_not_fit_is_refused_before_a_step(interpreter: Any, change: Any) -> None:
    """Kernels would write beyond arrays that are missing or too small."""
    engine, state, block, order = small()
    chosen = interpreter(engine.tape, Adam())
    chosen.train_steps(state, block, order, range(1))
    chosen.check(state)
    odd = replace(state.copy(), **change(state))
    sums = chosen.gradient(state, block)
    for step in (
        lambda: chosen.check(odd),
        lambda: chosen.train_steps(odd, block, order, range(1)),
        lambda: chosen.apply_gradient(odd, sums, 0.1),
    ):
        with pytest.raises(DataError, match=r"state\.(optimizer_state|step|seed).* must be"):
            step()
    assert odd.theta.tobytes() == state.theta.tobytes()
