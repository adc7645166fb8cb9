"""The lines of one step of an optimiser: its formula, and every parameter before and after."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import Any

from deltarule.explanation.formulas import OPTIMIZERS
from deltarule.explanation.lines import Line, Part, Quantity
from deltarule.explanation.network_lines import named
from deltarule.network import Network
from deltarule.program import Block, State
from deltarule.reference import Reference
from deltarule.spec.gradient_clipping import Clipping
from deltarule.spec.optimizers import LineSearch, Minimizer, Optimizer

__all__ = ["step_part"]


def step_part(
    network: Network,
    state: State,
    block: Block,
    optimizer: Optimizer | Minimizer,
    learning_rate: float | None,
    clipping: Clipping | None = None,
) -> Part:
    """Return the lines of one step on these rows; the state is not changed."""
    return Part(
        "One step of the optimiser",
        tuple(_lines(network, state, block, optimizer, learning_rate, clipping)),
    )


def _lines(
    network: Network,
    state: State,
    block: Block,
    optimizer: Optimizer | Minimizer,
    learning_rate: float | None,
    clipping: Clipping | None,
) -> Iterator[Line]:
    if isinstance(optimizer, Minimizer):
        name = type(optimizer).__name__
        yield Line(
            "O6" if isinstance(optimizer, LineSearch) else "O5",
            f"{name} minimises the cost of the whole training set: it takes no step for rows",
            f"θ = argmin C, by {name}", r"\theta = \arg\min C",
        )  # fmt: skip
        return
    rate = optimizer.learning_rate if learning_rate is None else learning_rate
    formula = OPTIMIZERS[type(optimizer)]
    constants = ", ".join(
        f"{one.name} {getattr(optimizer, one.name):g}"
        for one in fields(optimizer)
        if one.name != "learning_rate" and not isinstance(getattr(optimizer, one.name), bool)
    )
    reference, after = Reference(network.tape, optimizer, clipping), state.copy()
    sums = reference.gradient(after, block)
    _, value, gradient = reference.cost(after, sums)
    reference.apply_gradient(after, sums, rate)
    steps = getattr(after.optimizer_state, "t", None)
    counted = "" if steps is None else f", step t = {steps}"
    yield Line(
        formula.item,
        f"{type(optimizer).__name__}: η = {rate:g}{', ' if constants else ''}{constants}{counted}",
        formula.text, formula.latex,
    )  # fmt: skip
    names = {p.name: p for p in network.tape.parameters}
    tape = network.tape
    parts = {
        "g": dict(_by_name(tape, gradient)),
        "before": dict(_by_name(tape, state.theta)),
        "after": dict(_by_name(tape, after.theta)),
    }
    for name in names:
        g, before, new = (parts[key][name] for key in ("g", "before", "after"))
        theta = named(name, new)
        slope = Quantity("g", "g", g)
        old = Quantity(theta.text, theta.latex, before)
        change = Quantity("Δθ", r"\Delta\theta", new - before)
        with_penalty = " with the penalty" if value else ""
        yield Line(
            formula.item, f"{theta.text}: gradient{with_penalty}, value and change",
            f"{theta.text} ← {theta.text} + Δθ",
            rf"{theta.latex} \leftarrow {theta.latex} + \Delta\theta",
            theta._replace(text=f"{theta.text} + Δθ"),
            "{1} + {2}", (slope, old, change),
        )  # fmt: skip


def _by_name(tape: Any, vector: Any) -> Iterator[tuple[str, Any]]:
    for parameter, view in tape.views(vector):
        yield parameter.name, view
