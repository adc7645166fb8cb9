"""How do you know that a gradient is right?
=========================================

By comparing it with difference quotients, and every map with its adjoint (B2, B4).

The reverse derivative of a map f is the adjoint of its differential: ⟨rf(ζ), ξ⟩ = ⟨ζ, df(ξ)⟩ for
all ξ and ζ (Matt R §3.3). A difference quotient is less exact: with a large step it is bent, with a
small one it is rounded. In between it tells a right gradient from a wrong one (Matt R §6).

Run it by::

    python examples/gradient_check.py [folder for the picture]
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from deltarule import Dense, Network, check_function, check_gradients
from deltarule.reference import MAPS

STEPS = np.logspace(-12, -1, 45)


def adjoint_error(name: str, *shapes: tuple[int, ...]) -> float:
    """Return |⟨rf(ζ), ξ⟩ − ⟨ζ, df(ξ)⟩| at a random point of a map of the reference."""
    rng = np.random.default_rng(0)
    (f,) = (one for one in MAPS if one.name == name)
    at = [rng.uniform(0.5, 2.0, shape) for shape in shapes]
    xi = [rng.normal(size=shape) for shape in shapes]
    value, pullback = f.value(*at)
    zeta = rng.normal(size=value.shape)
    back = pullback(zeta)
    back = back if isinstance(back, tuple) else (back,)
    left = sum(float(np.sum(a * b)) for a, b in zip(back, xi, strict=True))
    return abs(left - float(np.sum(zeta * f.differential(*at, *xi))))


def quotient_errors(x: float = 1.0) -> np.ndarray:
    """Return the error of the central difference quotient of exp by step."""
    return np.abs((np.exp(x + STEPS) - np.exp(x - STEPS)) / (2 * STEPS) - np.exp(x))


def main(output: Path = Path("examples-output")) -> None:
    """Print adjoints and verdicts, and draw the error of a difference quotient by its step."""
    print(f"product: {adjoint_error('product', (4, 3), (3, 2)):.0e}; "
          f"affine: {adjoint_error('affine', (4, 3), (3, 2), (2,)):.0e}; "
          f"normalize: {adjoint_error('normalize', (4, 3)):.0e}")  # fmt: skip
    rng = np.random.default_rng(0)
    net = Network(3, [Dense(8, "relu"), Dense(3, "softmax")], "categorical_cross_entropy")
    print(check_gradients(net, net.initialize(), rng.normal(size=(20, 3)), rng.integers(0, 3, 20)))
    for factor in (2.0, 2.001):  # the second is a mistake of half a thousandth
        check = check_function(lambda x: x @ x, lambda x, c=factor: c * x, rng.normal(size=5))
        print(f"x -> xᵀx with the gradient {factor:g} x: {check.verdict}")

    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    ax = figure.subplots()
    ax.loglog(STEPS, quotient_errors(), color="#2b6cb0", label="error of the quotient")
    ax.loglog(STEPS, np.e * STEPS**2 / 6, "--", color="#c05621", label="bend: e h²/6")
    ax.loglog(STEPS, np.e * 1.1e-16 / STEPS, ":", color="#718096", label="rounding: e u/h")
    ax.set(xlabel="step h", ylabel="error of (e^(1+h) − e^(1−h))/2h", ylim=(1e-14, 1))
    ax.legend(frameon=False)
    output.mkdir(parents=True, exist_ok=True)
    figure.savefig(output / "gradient_check.png", dpi=120)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
