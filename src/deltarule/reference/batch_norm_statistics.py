"""Statistics that batch normalisation collects in training and uses for prediction (item N3)."""

from __future__ import annotations

from deltarule.errors import DataError
from deltarule.program import GradientSums, State
from deltarule.program.opcodes import Op
from deltarule.program.tape import Instruction, Tape
from deltarule.reference.normalization import mean, variance
from deltarule.utils.arrays import Array, Pullback, array_namespace

__all__ = ["accumulate", "batch_moments", "inference_norm", "statistics"]


def batch_moments(tape: Tape, contents: list[Array], weight: Array | None) -> tuple[Array, ...]:
    """Return W μ and W b/(b − 1) σ² of every normalisation, for b rows of total weight W.

    W = Σw, and b is the number of rows with non-zero weight.

    Raises
    ------
    DataError
        For a batch with fewer than two rows of non-zero weight, which has no variance.
    """
    if not tape.normalizations:
        return ()
    xp = array_namespace(contents[-1])
    n = contents[-1].shape[0]
    total = float(n) if weight is None else float(xp.sum(weight))
    b = n if weight is None else int(xp.sum(xp.astype(weight > 0, xp.int64)))
    if b < 2:
        raise DataError(
            f"batch norm needs at least 2 rows of non-zero weight in a batch; got {b}. Use a "
            "larger batch_size."
        )
    share = None if weight is None else weight / total
    moments: list[Array] = []
    for instruction in tape.instructions:
        if instruction.op == Op.NORMALIZE:
            x = contents[instruction.source]
            moments.append(total * mean(x, share)[0])
            moments.append(total * b / (b - 1) * variance(x, share)[0])
    return tuple(moments)


def accumulate(tape: Tape, state: State, sums: GradientSums) -> None:
    """Update the statistics in the state with the moments of a batch.

    Population statistics are the size-weighted mean of μ_k and of b_k/(b_k − 1) σ²_k over the
    batches of the epoch so far (Ioffe & Szegedy 2015, Algorithm 2). Running averages are
    v ← (1 − m) v + m v_k.
    """
    for i, norm in enumerate(tape.normalizations):
        mu = sums.moments[2 * i] / sums.weight
        sigma2 = sums.moments[2 * i + 1] / sums.weight
        xp = array_namespace(mu)
        if norm.running:
            old = statistics(state, i, mu)
            share = norm.momentum
        else:
            seen = float(state.buffers.get(f"{i}.weight", 0.0))
            old = statistics(state, i, mu)
            share = sums.weight / (seen + sums.weight)
            state.buffers[f"{i}.weight"] = xp.asarray(seen + sums.weight, dtype=xp.float64)
        state.buffers[f"{i}.mean"] = (1 - share) * old[0] + share * mu
        state.buffers[f"{i}.variance"] = (1 - share) * old[1] + share * sigma2


def inference_norm(
    instruction: Instruction, state: State, x: Array, gamma: Array, beta: Array | None
) -> tuple[Array, Pullback]:
    """Return γ ⊙ (x − μ)/√(σ² + ε) + β with the statistics of the state, an affine map of x."""
    xp = array_namespace(x)
    mu, sigma2 = statistics(state, instruction.code, gamma)
    factor = gamma / xp.sqrt(sigma2 + instruction.constant)
    normal = (x - mu) / xp.sqrt(sigma2 + instruction.constant)

    def pullback(d: Array) -> tuple[Array, Array, Array]:
        return factor * d, xp.sum(d * normal, axis=0), xp.sum(d, axis=0)

    return gamma * normal + beta, pullback


def statistics(state: State, number: int, like: Array) -> tuple[Array, Array]:
    """Return (mean, variance) of a normalisation; (0, 1) before its first batch."""
    xp = array_namespace(like)
    mu = state.buffers.get(f"{number}.mean")
    if mu is None:
        return xp.zeros_like(like), xp.ones_like(like)
    return mu, state.buffers[f"{number}.variance"]
