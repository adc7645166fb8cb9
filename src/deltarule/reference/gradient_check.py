"""Gradient check: gradients compared with central differences (item B4).

error = ‖g_num − g‖₂ / (‖g_num‖₂ + ‖g‖₂), 0/0 = 0 (Mebsout §4; Matt R §6). A difference quotient is
only accurate up to the rounding of the two values that it subtracts; if the difference is below
that floor, the verdict is "cannot tell". Coordinates whose ±ε step crosses a kink, where the cost
has no derivative, are excluded and counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from html import escape
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from deltarule.errors import DataError, ShapeError
from deltarule.program import Block, State
from deltarule.program.opcodes import Op, PenaltyCode
from deltarule.program.tape import Tape
from deltarule.reference.interpreter import Reference, Trace, quiet
from deltarule.reference.members import of_members
from deltarule.reference.penalties import penalty
from deltarule.utils.blas import one_blas_thread
from deltarule.utils.checks import (
    check_between,
    check_call,
    check_positive_integer,
    check_seed,
    check_shape,
    numeric_array,
)

__all__ = ["GradientCheck", "check_function", "check_tape"]

Vector: TypeAlias = npt.NDArray[np.float64]
Probe: TypeAlias = Callable[[Vector], tuple[float, bytes]]
"""θ -> (cost, side of every kink). Equal bytes mean that no kink was crossed."""

_EPS = float(np.finfo(np.float64).eps)
_ROUNDING = 8.0  # rounding error of a cost, in units of its last place


@dataclass(frozen=True)
class GradientCheck:
    """Result of a gradient check; ``str()`` describes it.

    Attributes
    ----------
    verdict : {"right", "wrong", "cannot tell"}
        "cannot tell": the difference is above the tolerance, but not above the rounding floor
        of the difference quotients, for example if the gradient is nearly zero.
    error : float
        ‖g_num − g‖ / (‖g_num‖ + ‖g‖) over the compared coordinates, 0/0 = 0.
    tolerance : float
        The largest error with the verdict "right".
    floor : float
        The largest ‖g_num − g‖ that rounding can cause without any other error.
    n_checked, n_kinks, n_parameters : int
        Numbers of coordinates: compared, excluded at kinks, and in θ.
    worst : str
        The compared coordinate with the largest difference, such as "W2[3, 0]"; "" without any.
    worst_numeric, worst_analytic : float
        The derivatives of that coordinate.
    """

    verdict: Literal["right", "wrong", "cannot tell"]
    error: float
    tolerance: float
    floor: float
    n_checked: int
    n_kinks: int
    n_parameters: int
    worst: str
    worst_numeric: float
    worst_analytic: float

    def __str__(self) -> str:
        """Return the verdict and its numbers."""
        sampled = "" if self.n_checked + self.n_kinks == self.n_parameters else " (a sample)"
        lines = [
            f"Gradients: {self.verdict} (error {self.error:.2g}, tolerance {self.tolerance:.0e}).",
            f"Compared: {self.n_checked} of {self.n_parameters} parameters{sampled}.",
            f"Excluded at a kink: {self.n_kinks}.",
        ]
        if self.worst:
            lines.append(
                f"Largest difference at {self.worst}: backpropagation "
                f"{self.worst_analytic:.10g}, difference quotient {self.worst_numeric:.10g}."
            )
        if self.floor == float("inf"):
            lines.append("The cost is not finite here. Check at smaller parameters or inputs.")
        elif self.n_checked == 0:
            lines.append("Every parameter is at a kink. Check at random parameters.")
        elif self.verdict == "cannot tell":
            lines.append(
                f"The difference is below the rounding error of the quotients ({self.floor:.1g}). "
                "Check at random parameters, or on other rows."
            )
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        """Return the verdict as a coloured line, and its numbers, for a notebook."""
        colour = {"right": "#2f855a", "wrong": "#c53030"}.get(self.verdict, "#b7791f")
        head, *rest = str(self).split("\n")
        lines = "".join(f"<li>{escape(line)}</li>" for line in rest)
        style = f"border-left: 4px solid {colour}; padding-left: .7em"
        return f'<div style="{style}"><strong>{escape(head)}</strong><ul>{lines}</ul></div>'


@one_blas_thread()
def check_function(
    f: Callable[[Vector], float],
    gradient: Callable[[Vector], Vector],
    x: npt.ArrayLike,
    *,
    epsilon: float = 1e-6,
    tolerance: float = 1e-7,
) -> GradientCheck:
    """Return the gradient check of a function of a vector at x (Matt R §6).

    Parameters
    ----------
    f : callable
        x (p,) -> float.
    gradient : callable
        x (p,) -> (p,), the gradient to check.
    x : (p,) array-like
        Point of the check.
    epsilon : float, default=1e-6
        Half the width of the difference quotients, times max(1, |x_i|); in [2.2e-16, 1].
    tolerance : float, default=1e-7
        The largest error with the verdict "right".

    Returns
    -------
    check : GradientCheck

    Examples
    --------
    >>> import numpy as np
    >>> check_function(np.prod, lambda x: np.prod(x) / x, [2.0, 3.0, 4.0]).verdict
    'right'
    """
    check_call("f", f, "f(x)", 1)
    check_call("gradient", gradient, "gradient(x)", 1)
    _check_steps(epsilon, tolerance)
    point = numeric_array("x", x).astype(np.float64)
    if not np.isfinite(point).all():
        raise DataError("x must be finite; got NaN or infinity.")
    if point.ndim != 1 or point.size == 0:
        raise ShapeError(
            f"x must be a vector (p,) with at least one number; got shape {point.shape}. Use "
            "numpy.ravel(x), and let f and gradient take a vector."
        )
    claimed = np.asarray(gradient(point.copy()), dtype=np.float64)
    check_shape("gradient(x)", claimed, point.shape, "Return one number for each entry of x.")
    names = [f"x[{i}]" for i in range(point.size)]
    return _compare(
        lambda at: (float(f(at)), b""), point, claimed, np.arange(point.size), names,
        epsilon, tolerance, _noise(gradient, point, claimed),
    )  # fmt: skip


@one_blas_thread()
def check_tape(
    tape: Tape,
    state: State,
    block: Block,
    *,
    epsilon: float = 1e-6,
    tolerance: float = 1e-7,
    max_parameters: int = 2000,
    seed: int = 0,
) -> GradientCheck:
    """Return the gradient check of backpropagation on a block; tape and block are in float64.

    The cost is that of a training step at this state, with batch statistics and the dropout masks
    of the state's seed and step. Proximal penalties have no gradient and are excluded. If there are
    more than ``max_parameters``, a random sample from every named array is compared.
    """
    _check_steps(epsilon, tolerance)
    check_positive_integer("max_parameters", max_parameters)
    check_seed("seed", seed)
    tape = replace(
        tape, penalties=tuple(p for p in tape.penalties if p.code != PenaltyCode.PROXIMAL_L1)
    )
    reference = Reference(tape)

    def probe(at: Vector) -> tuple[float, bytes]:
        return _cost(reference, replace(state, theta=at), block)

    def slope(at: State) -> Vector:
        return np.asarray(reference.cost(at, reference.gradient(at, block))[2])

    analytic = slope(state)
    noise = _noise(lambda theta: slope(replace(state, theta=theta)), state.theta, analytic)
    chosen = _sample(tape, max_parameters, np.random.default_rng(seed))
    names = [_name(tape, int(i)) for i in chosen]
    return _compare(probe, state.theta, analytic, chosen, names, epsilon, tolerance, noise)


def _check_steps(epsilon: float, tolerance: float) -> None:
    check_between("epsilon", epsilon, _EPS, 1.0)
    check_between("tolerance", tolerance, 0.0, 1.0)


def _noise(gradient: Callable[[Vector], Vector], at: Vector, claimed: Vector) -> float:
    """Return the rounding error of a gradient: its change for one unit in the last place of θ."""
    with quiet():
        moved = np.asarray(gradient(at * (1 + 2 * _EPS)), dtype=np.float64) - claimed
        distance = float(np.linalg.norm(moved))
    return _ROUNDING * (distance if np.isfinite(distance) else 0.0) + 64 * _EPS


def _cost(reference: Reference, state: State, block: Block) -> tuple[float, bytes]:
    """Return the cost of a training step, and the side of every kink."""
    tape = reference.tape
    with quiet():
        contents = reference.trace(state, block.x, reference.training_pass(state, block)).contents
        losses, _ = reference.row_losses(Trace(contents, []), block)
    weight = np.ones_like(losses) if block.weight is None else np.asarray(block.weight)
    total = float(weight.sum())
    value = float(weight @ losses) / total + penalty(tape, state.theta, total)[0]
    return value, b"".join(_sides(reference, contents, state.theta, block))


def _sides(
    reference: Reference, contents: list[Any], theta: Vector, block: Block
) -> Iterator[bytes]:
    tape = reference.tape
    for instruction in tape.instructions:
        if instruction.op == Op.ACTIVATE:
            g = reference.activations[instruction.code]
            for kink in () if g is None else g.kinks:
                yield _side(contents[instruction.source], kink)
    residual_kinks = reference.loss.residual_kinks(tape.loss_constants)
    for kink in residual_kinks:
        targets = of_members(block.y, tape.members)
        yield _side(contents[tape.loss.source].reshape(targets.shape) - targets, kink)
    for term in tape.penalties:
        if term.code == PenaltyCode.L1:
            yield _side(theta[term.start : term.stop], 0.0)


def _side(values: Vector, kink: float) -> bytes:
    return np.sign(values - kink).astype(np.int8).tobytes()


def _sample(tape: Tape, most: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    if tape.n_parameters <= most:
        return np.arange(tape.n_parameters)
    share = most / tape.n_parameters
    drawn = []
    for p in tape.parameters:
        size = p.stop - p.start
        count = min(size, max(8, round(share * size)))
        drawn.append(p.start + np.sort(rng.choice(size, size=count, replace=False)))
    return np.concatenate(drawn)


def _name(tape: Tape, index: int) -> str:
    p = next(p for p in tape.parameters if p.start <= index < p.stop)
    at = np.unravel_index(index - p.start, p.shape)
    return f"{p.name}[{', '.join(str(int(i)) for i in at)}]"


def _compare(
    probe: Probe,
    theta: Vector,
    analytic: Vector,
    chosen: npt.NDArray[np.int64],
    names: list[str],
    epsilon: float,
    tolerance: float,
    noise: float,
) -> GradientCheck:
    _, home = probe(theta)
    widths = epsilon * np.maximum(1.0, np.abs(theta[chosen]))
    numeric, smooth = np.zeros(len(chosen)), np.ones(len(chosen), dtype=bool)
    largest = 0.0
    for j, i in enumerate(chosen):
        ahead, behind = theta.copy(), theta.copy()
        ahead[i] += widths[j]
        behind[i] -= widths[j]
        (up, up_side), (down, down_side) = probe(ahead), probe(behind)
        smooth[j] = up_side == home == down_side
        with np.errstate(invalid="ignore", over="ignore"):
            numeric[j] = (up - down) / (ahead[i] - behind[i])
        largest = max(largest, abs(up), abs(down))
    numeric, claimed, widths = numeric[smooth], analytic[chosen][smooth], widths[smooth]
    known = len(numeric) > 0 and bool(np.isfinite(numeric).all())
    if not known:  # without a finite cost there is nothing to compare with
        numeric, claimed, largest = np.zeros_like(numeric), np.zeros_like(numeric), np.inf
    gap = np.abs(numeric - claimed)
    gap[np.isnan(gap)] = np.inf
    difference = float(np.linalg.norm(gap))
    scale = float(np.linalg.norm(numeric) + np.linalg.norm(claimed))
    error = 1.0 if not np.isfinite(difference) else difference / scale if scale > 0 else 0.0
    unit = _ROUNDING * _EPS * largest
    floor = noise + float(unit * np.linalg.norm(1.0 / widths)) if len(widths) else 0.0
    verdict: Literal["right", "wrong", "cannot tell"] = "wrong"
    if not known:
        verdict = "cannot tell"
    elif error <= tolerance:
        verdict = "right"
    elif np.isfinite(difference) and difference <= tolerance * scale + floor:
        verdict = "cannot tell"
    at = int(np.argmax(gap)) if len(numeric) else -1
    return GradientCheck(
        verdict=verdict,
        error=error,
        tolerance=tolerance,
        floor=floor,
        n_checked=int(smooth.sum()),
        n_kinks=int((~smooth).sum()),
        n_parameters=len(theta),
        worst=[n for n, keep in zip(names, smooth, strict=True) if keep][at] if at >= 0 else "",
        worst_numeric=float(numeric[at]) if at >= 0 else 0.0,
        worst_analytic=float(claimed[at]) if at >= 0 else 0.0,
    )
