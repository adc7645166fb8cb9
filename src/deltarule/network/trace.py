"""A pass through a network in full: every Z, A, δ and gradient by name (items B1, N1, R3)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from deltarule.program import Block, State
from deltarule.program.opcodes import Op
from deltarule.program.tape import Instruction, Tape
from deltarule.reference.batch_norm_statistics import batch_moments, statistics
from deltarule.reference.interpreter import Reference, quiet
from deltarule.reference.normalization import mean, variance
from deltarule.reference.penalties import penalty
from deltarule.utils.arrays import Array, array_namespace
from deltarule.utils.blas import one_blas_thread

__all__ = ["FEATURE_NAMES", "Trace", "trace_pass"]

FEATURE_NAMES = {"frequency": "H", "wave": "Q", "embedding": "E"}
"""The trace's name of a register that is written with these parameters, before its number."""


class Trace(Mapping[str, Any]):
    """What one pass through a network computed, by name, in the order of computation.

    ====================  ======================================================================
    name                  array
    ====================  ======================================================================
    ``A0``                (n, d) the inputs
    ``Z1``, ``Z2``, …     (n, d_l) A_{l−1} W_l + b_l, what an activation reads (without batch norm)
    ``mu1``, ``var1``     (d_l,) mean and variance that batch norm l normalises with
    ``Zhat1``, ``N1``     (n, d_l) x̂ = (x − μ)/√(σ² + ε), and γ ⊙ x̂ + β
    ``A1``, ``A2``, …     (n, d_l) g_l(Z_l), or g_l(N_l); the last are the outputs
    ``mask0``, ``D0``     (n, d_l) dropout of A_l: 1 where a unit is kept, and A_l ⊙ mask / p
    ``S1``, ``S2``, …     what the Scale layers give, by their own numbers
    ``H1``, ``Q1``        features and waves of Periodic layer 1, and its features and their maps
    ``E1``, ``E2``, …     what the Embedding layers give
    ``losses``            (n,) loss of every row
    ``loss``              their weighted mean, C without penalties
    ``penalty``           value of the penalties
    ``delta1``, …         (n, d_l) ∂C/∂Z_l
    ``dA1``, …            (n, d_l) ∂C/∂A_l; not of an output that is fused with its loss
    ``dW1``, ``db1``, …   ∂C/∂W_l, ∂C/∂b_l, and ``dgamma1``, ``dbeta1``; without penalties
    ====================  ======================================================================

    Names from ``losses`` on are there if targets were given. Iterating gives the names.

    With k members every array of units is (n, k d_l), the members side by side; ``U1`` are
    x_i ⊙ r_i (except of layer 1, which scales a few rows at a time), ``P1`` the products with W,
    ``Z1`` = P_i ⊙ s_i + b_i, and ``mean`` (n, k) the mean of the members' outputs.
    """

    def __init__(self, arrays: dict[str, Any]) -> None:
        self._arrays = arrays

    def __getitem__(self, name: str) -> Any:
        """Return an array by its name."""
        return self._arrays[name]

    def __iter__(self) -> Iterator[str]:
        """Return an iterator over the names."""
        return iter(self._arrays)

    def __len__(self) -> int:
        """Return how many names there are."""
        return len(self._arrays)

    def __repr__(self) -> str:
        """Return the names with their shapes, and numbers as they are."""
        shown = (
            f"{name} = {value:.6g}" if isinstance(value, float) else f"{name} {tuple(value.shape)}"
            for name, value in self._arrays.items()
        )
        return f"Trace({', '.join(shown)})"


@one_blas_thread()
def trace_pass(tape: Tape, state: State, block: Block, *, training: bool) -> Trace:
    """Return every array of a pass through a tape; see `deltarule.Network.trace`."""
    reference = Reference(tape)
    arrays: dict[str, Any] = {"A0": block.x}
    names = {parameter.start: parameter.name for parameter in tape.parameters}
    adjoint_names: dict[int, str] = {}  # of registers
    with quiet():
        settings = reference.training_pass(state, block) if training else None
        run = reference.trace(state, block.x, settings)
        if settings is not None:
            batch_moments(tape, run.contents, block.weight)  # raises for too few rows
        layer = 0
        for line in tape.instructions[:-1]:
            source, value = run.contents[line.source], run.contents[line.target]
            if line.op in (Op.AFFINE, Op.EXPAND, Op.HEADS):
                layer += 1
                if tape.members > 1 and line.op != Op.HEADS:
                    arrays[f"P{layer}"] = value
                    continue
                arrays[f"Z{layer}"] = value
                adjoint_names[line.target] = f"delta{layer}"
            elif line.op == Op.SCALE:
                kind = names[line.weights].rstrip("0123456789")
                number = names[line.weights].removeprefix(kind)
                arrays[{"scale": "S", "r": "U", "s": "Z"}[kind] + number] = value
                if kind == "s":
                    adjoint_names[line.target] = f"delta{layer}"
            elif line.op in (Op.PERIODIC, Op.BLOCKS):
                kind = names[line.weights].rstrip("0123456789")
                number = names[line.weights].removeprefix(kind)
                arrays[FEATURE_NAMES[kind] + number] = value
            elif line.op == Op.AVERAGE:
                arrays["mean"] = value
            elif line.op == Op.REPEAT:
                continue
            elif line.op == Op.ACTIVATE:
                arrays[f"A{layer}"] = value
                adjoint_names[line.target] = f"dA{layer}"
            elif line.op == Op.NORMALIZE:
                share = None if settings is None else settings.share
                arrays |= _normalized(line, layer, state, source, value, share, training=training)
            elif settings is not None:
                kept = reference.dropout_mask(line, source, settings)
                arrays[f"mask{layer}"] = kept
                arrays[f"D{layer}"] = value
        if block.y is None:
            return Trace(arrays)
        losses, pull = reference.row_losses(run, block)
        xp = array_namespace(losses)
        weight = xp.ones_like(losses) if block.weight is None else block.weight
        total = float(xp.sum(weight))
        arrays["losses"], arrays["loss"] = losses, float(xp.sum(weight * losses)) / total
        arrays["penalty"] = penalty(tape, state.theta, total)[0]
        gradient = xp.zeros_like(state.theta)
        adjoints = reference.pull_back(run, pull(weight / total), gradient)
    for register in sorted(adjoint_names, reverse=True):
        if adjoints[register] is not None:
            arrays[adjoint_names[register]] = adjoints[register]
    arrays |= {f"d{parameter.name}": view for parameter, view in tape.views(gradient)}
    return Trace(arrays)


def _normalized(
    line: Instruction,
    layer: int,
    state: State,
    source: Array,
    value: Array,
    share: Array | None,
    *,
    training: bool,
) -> dict[str, Array]:
    """Return the statistics of a batch norm, x̂ and its output."""
    xp = array_namespace(source)
    if training:
        mu, var = mean(source, share)[0], variance(source, share)[0]
    else:
        mu, var = statistics(state, line.code, source[0])
    normal = (source - mu) / xp.sqrt(var + line.constant)
    return {f"mu{layer}": mu, f"var{layer}": var, f"Zhat{layer}": normal, f"N{layer}": value}
