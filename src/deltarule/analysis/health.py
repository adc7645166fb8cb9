"""Numerical health: norms of every layer, dead and saturated units (items H1-H3)."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from deltarule.network import Network
from deltarule.network.data import make_block
from deltarule.program import Block, State
from deltarule.program.opcodes import ActivationCode, Op
from deltarule.program.state_checks import check_theta
from deltarule.program.tape import Tape
from deltarule.reference import Reference
from deltarule.reference.activations import ELEMENTWISE
from deltarule.spec import check_network
from deltarule.training.history import History
from deltarule.utils.arrays import Array, array_namespace, to_numpy
from deltarule.utils.blas import one_blas_thread

__all__ = ["HEALTH_KINDS", "Health", "HealthMonitor", "LayerHealth", "network_health"]

_RECTIFIERS = (ActivationCode.RELU, ActivationCode.LEAKY_RELU)
_SATURABLE = (
    ActivationCode.SIGMOID,
    ActivationCode.TANH,
    ActivationCode.HARD_SIGMOID,
    ActivationCode.HARD_TANH,
    ActivationCode.SOFTSIGN,
)
_FLAT = 1e-3  # a derivative below this share of its largest value counts as zero
_MOST_ROWS = 1000


class LayerHealth(NamedTuple):
    """Norms and unit statistics of one layer on a set of rows."""

    layer: int  # counted from 1
    activation_norm: float  # root mean square of A_l
    delta_norm: float  # ‖∂C/∂Z_l‖
    gradient_norm: float  # ‖∂C/∂W_l‖
    weight_norm: float  # ‖W_l‖
    update_ratio: float | None  # ‖ΔW_l‖/‖W_l‖ over the epoch; None outside training
    dead: float | None  # fraction of rectifiers with a negative pre-activation for all rows
    saturated: float | None  # fraction of (row, unit) pairs with g' ≈ 0


class Health(NamedTuple):
    """The health of every layer; ``print`` shows a table."""

    layers: tuple[LayerHealth, ...]

    def __str__(self) -> str:
        """Return a table with one line per layer."""
        head = "layer  rms A     ‖δ‖       ‖∂W‖      ‖W‖       update    dead   saturated"
        lines = [
            f"{x.layer:<5}  {x.activation_norm:<8.2e}  {x.delta_norm:<8.2e}  "
            f"{x.gradient_norm:<8.2e}  {x.weight_norm:<8.2e}  {_show(x.update_ratio, '.2e'):<8}  "
            f"{_show(x.dead, '.0%'):<5}  {_show(x.saturated, '.0%')}"
            for x in self.layers
        ]
        return "\n".join([head, *lines])


HEALTH_KINDS: tuple[type[Any], ...] = (Health, LayerHealth)
"""The types that a history with health contains, for checkpoints."""


def network_health(
    net: Network, state: State, X: Array, y: Any, *, sample_weight: Any = None
) -> Health:
    """Return norms of activations, δ and gradients, and fractions of dead and saturated units.

    * H1, exploding or vanishing gradients: norms that grow or shrink from layer to layer
      (Mebsout).
    * H2, dying ReLU: units whose pre-activation is negative for every row (Khabar §5.4; erratum
      E-w).
    * H3, saturation: entries where the derivative of a sigmoid, tanh, softsign or hard variant is
      below a thousandth of its largest value (Schönhuth eq. 13).

    Dropout and batch norm work as in a training step.

    Parameters
    ----------
    net : Network
        The network.
    state : State
        Its parameters, for example after :func:`deltarule.train`.
    X : (n, d) array
        Inputs.
    y : (n,) or (n, k) array
        Targets, as in :func:`deltarule.train`.
    sample_weight : (n,) array, optional
        Weights of the rows.
    """
    check_network(net)
    check_theta(state, net.tape)
    block, _ = make_block(net, X, y, sample_weight, smoothed=True)
    return measure_health(net.tape, state, block)


@one_blas_thread()
def measure_health(
    tape: Tape, state: State, block: Block, before: dict[str, Any] | None = None
) -> Health:
    """Return the health of a tape on a block; ``before`` holds the weights before the epoch."""
    reference = Reference(tape)
    trace = reference.trace(state, block.x, reference.training_pass(state, block))
    sums = reference.gradient(state, block)
    losses, pull = reference.row_losses(trace, block)
    weight = array_namespace(losses).ones_like(losses) if block.weight is None else block.weight
    gradient = 0 * state.theta
    adjoints = reference.pull_back(trace, pull(weight), gradient)
    weights = {p.name: to_numpy(view) for p, view in tape.views(state.theta)}
    slopes = {p.name: to_numpy(view) for p, view in tape.views(gradient)}
    layers: list[LayerHealth] = []
    for line in tape.instructions:
        if line.op != Op.ACTIVATE:
            continue
        name = f"W{len(layers) + 1}"
        z, a = to_numpy(trace.contents[line.source]), to_numpy(trace.contents[line.target])
        delta = adjoints[line.source]
        norm = float(np.linalg.norm(weights[name]))
        layers.append(
            LayerHealth(
                layer=len(layers) + 1,
                activation_norm=float(np.sqrt(np.mean(a**2))),
                delta_norm=0.0 if delta is None else _norm(delta) / sums.weight,
                gradient_norm=_norm(slopes[name]) / sums.weight,
                weight_norm=norm,
                update_ratio=None if before is None else _ratio(weights[name], before[name]),
                dead=float(np.mean((z < 0).all(axis=0))) if line.code in _RECTIFIERS else None,
                saturated=_saturated(line.code, z) if line.code in _SATURABLE else None,
            )
        )
    return Health(tuple(layers))


class HealthMonitor:
    """A monitor that records the health after every epoch, on the first 1000 training rows."""

    def __init__(self, tape: Tape, state: State, block: Block) -> None:
        self._tape, self._state = tape, state
        if block.weight is None:
            rows = np.arange(block.n_rows)
        else:
            rows = np.flatnonzero(to_numpy(block.weight))  # rows of weight zero are ignored
        self._block = block.take(rows[:_MOST_ROWS])
        self._before = self._weights(self._state)

    def begin(self, entered: State) -> None:
        """Use the weights of another state as those with which the epoch begins."""
        if entered is not self._state:
            self._before = self._weights(entered)

    def observe(self, history: History) -> bool:
        """Append the health to the history; return False, so that training continues."""
        history.health.append(measure_health(self._tape, self._state, self._block, self._before))
        self._before = self._weights(self._state)
        return False

    def _weights(self, state: State) -> dict[str, Any]:
        return {
            p.name: np.array(to_numpy(view), copy=True) for p, view in self._tape.views(state.theta)
        }


def _saturated(code: int, z: Any) -> float:
    slope = ELEMENTWISE[code].derivative(z, 0.0)
    largest = ELEMENTWISE[code].derivative(np.zeros((1, 1), dtype=z.dtype), 0.0)[0, 0]
    return float(np.mean(slope < _FLAT * largest))


@one_blas_thread()
def _ratio(after: Any, before: Any) -> float:
    norm = float(np.linalg.norm(before))
    return float(np.linalg.norm(after - before)) / norm if norm > 0 else 0.0


@one_blas_thread()
def _norm(array: Any) -> float:
    return float(np.linalg.norm(to_numpy(array)))


def _show(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)
