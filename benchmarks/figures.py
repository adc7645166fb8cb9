"""Print the worst errors of the adjoint identity and of the gradient check over all maps.

    python benchmarks/figures.py

All random numbers are seeded: every run prints the same numbers.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from deltarule import Dense, Network, check_gradients
from deltarule.reference import MAPS
from deltarule.reference.maps import Map
from deltarule.spec import ACTIVATIONS, LOSSES

DRAWS = 50


def adjoint_error(entry: Map, rng: np.random.Generator) -> float:
    """Return |⟨rf(ζ), ξ⟩ − ⟨ζ, df(ξ)⟩| / (‖ζ‖ ‖df(ξ)‖) for one random point and direction."""
    axes = {axis: int(rng.integers(2, 7)) for axis in "knpq"}
    shapes = [tuple(axes[a] for a in shape.split()) for shape in entry.shapes]
    at = [rng.normal(size=shape) for shape in shapes]
    if entry.domain == "positive":
        at = [np.exp(x) for x in at]
    towards = [rng.normal(size=shape) for shape in shapes]
    extra = []
    if entry.targets != "none":
        y = rng.normal(size=shapes[0])
        extra = [
            {
                "real": y,
                "binary": (y > 0) * 1.0,
                "counts": np.floor(np.exp(y)),
                "simplex": np.exp(y) / np.exp(y).sum(axis=1, keepdims=True),
            }[entry.targets]
        ]
    value, pullback = entry.value(*at, *extra)
    zeta = rng.normal(size=np.shape(value))
    back = pullback(zeta)
    back = back if isinstance(back, tuple) else (back,)
    pushed = entry.differential(*at, *extra, *towards)
    left = sum(float(np.sum(b * t)) for b, t in zip(back, towards, strict=True))
    size = float(np.linalg.norm(zeta) * np.linalg.norm(pushed))
    return abs(left - float(np.sum(zeta * pushed))) / size if size else 0.0


def combination_errors() -> list[tuple[float, str]]:
    """Return the gradient-check error of activation × (loss, output) × {0, 1, 3} hidden layers."""
    found = []
    pairs = [
        (loss, out)
        for loss, sets in LOSSES.items()
        for out in ACTIVATIONS
        if ACTIVATIONS[out] in sets
    ]
    for hidden in (name for name in ACTIVATIONS if name not in ("softmax", "exp")):
        for loss, out in pairs:
            for depth in (0, 1, 3):
                if depth == 0 and hidden != "identity":
                    continue
                found.append(one_combination(hidden, loss, out, depth))
    return found


def one_combination(hidden: str, loss: str, out: str, depth: int) -> tuple[float, str]:
    """Return the gradient-check error at random θ, and the name of the combination."""
    rng = np.random.default_rng(depth)
    net = Network(4, [*(Dense(5, hidden) for _ in range(depth)), Dense(3, out)], loss)
    state = net.initialize(1)
    state.theta[...] = rng.normal(scale=0.5, size=state.theta.shape)
    X = rng.normal(size=(12, 4))
    y: Any = rng.normal(size=(12, 3))
    if loss in ("categorical_cross_entropy", "binary_cross_entropy"):
        y = rng.integers(0, 3, 12)
    elif loss == "poisson":
        y = rng.poisson(2.0, (12, 3)).astype(float)
    check = check_gradients(net, state, X, y)
    return check.error, f"{hidden} × {loss}({out}) × {depth}: {check.verdict}"


def main() -> None:
    """Print all errors."""
    rng = np.random.default_rng(0)
    worst = [(max(adjoint_error(m, rng) for _ in range(DRAWS)), m.name) for m in MAPS]
    print(f"adjoint identity, {len(MAPS)} maps × {DRAWS} points: worst {max(worst)[0]:.1e} "
          f"({max(worst)[1]})")  # fmt: skip
    errors = combination_errors()
    verdicts = Counter(text.rsplit(": ", 1)[1] for _, text in errors)
    print(f"gradient check, {len(errors)} combinations: {dict(verdicts)}; worst "
          f"{max(errors)[0]:.1e} ({max(errors)[1]})")  # fmt: skip


if __name__ == "__main__":
    main()
