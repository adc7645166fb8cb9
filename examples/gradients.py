"""What does backpropagation cost?
===============================

One backward pass for all derivatives (B1, B3).

One forward and one backward pass give all p derivatives at the cost of a few forward passes.
Central differences need 2p forward passes and are less accurate (B4).

Run it by::

    python examples/gradients.py [folder for the picture]
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from deltarule import Dense, Network
from deltarule.program import Block
from deltarule.reference import Reference
from deltarule.reference.elementwise import hadamard


def graph(x: float, y: float, z: float) -> tuple[float, tuple[float, float, float]]:
    """Return f = (x + y) z and its gradient, by the pullbacks of sum and product (Mebsout §4)."""
    value, pull = hadamard(np.array([[x + y]]), np.array([[z]]))
    d_sum, dz = pull(np.ones((1, 1)))
    return float(value[0, 0]), (float(d_sum[0, 0]), float(d_sum[0, 0]), float(dz[0, 0]))


def seconds(work: Callable[[], object], repeats: int = 7) -> float:
    """Return the shortest time of a few runs."""
    times = []
    for _ in range(repeats):
        begin = time.perf_counter()
        work()
        times.append(time.perf_counter() - begin)
    return min(times)


def costs(width: int) -> tuple[int, float, float]:
    """Return p, and the cost of a gradient and of central differences in forward passes."""
    net = Network(width, [Dense(width, "tanh"), Dense(1)])
    state, rng = net.initialize(), np.random.default_rng(0)
    block = Block(rng.normal(size=(500, width)), rng.normal(size=(500, 1)))
    reference = Reference(net.tape)
    forward = seconds(lambda: reference.losses(state, block))
    back = seconds(lambda: reference.gradient(state, block))
    return net.tape.n_parameters, back / forward, 2.0 * net.tape.n_parameters


def main(output: Path = Path("examples-output")) -> None:
    """Print the worked example and the costs, and draw the costs over p."""
    print("(x + y) z at (−2, 5, −4): value {:g}, gradient {}".format(*graph(-2, 5, -4)))
    rows = [costs(width) for width in (4, 16, 64, 128)]
    for p, back, differences in rows:
        print(f"{p:>6} parameters: a gradient takes {back:.1f} forward passes, central "
              f"differences {differences:,.0f}")  # fmt: skip

    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    ax = figure.subplots()
    p, back, differences = np.array(rows).T
    ax.loglog(p, differences, "o-", color="#c05621", label="central differences")
    ax.loglog(p, back, "o-", color="#2b6cb0", label="backpropagation")
    ax.set(xlabel="parameters", ylabel="cost of a gradient, in forward passes", ylim=(1, None))
    ax.legend(frameon=False)
    output.mkdir(parents=True, exist_ok=True)
    figure.savefig(output / "gradients.png", dpi=120)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
