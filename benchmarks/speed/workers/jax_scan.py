"""JAX: a whole epoch in one compiled call (``lax.scan`` over batches), donated buffers."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from speed.cases import Case
from speed.worker import Repetition

RATE, BETA1, BETA2, EPS = 1e-3, 0.9, 0.999, 1e-8


def prepare(spec: dict[str, Any]) -> Repetition:
    """Return the function that trains an existing network for ``epochs`` passes."""
    case = Case.of(spec)
    jax.config.update("jax_enable_x64", case.dtype == "float64")
    inputs, classes = case.data()
    X, y = jnp.asarray(inputs), jnp.asarray(classes)
    rng = np.random.default_rng(0)
    each = jax.tree_util.tree_map

    def loss(theta: Any, x: Any, target: Any) -> Any:
        for W, b in theta[:-1]:
            x = jax.nn.relu(x @ W + b)
        z = x @ theta[-1][0] + theta[-1][1]
        if case.widths[-1] == 1:
            return jnp.mean(jnp.logaddexp(0, z[:, 0]) - target * z[:, 0])
        return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(z), target[:, None], axis=1))

    def step(x: Any, target: Any, carry: Any, rows: Any) -> Any:
        theta, m, v, t = carry
        value, gradient = jax.value_and_grad(loss)(theta, x[rows], target[rows])
        t = t + 1
        m = each(lambda m, g: BETA1 * m + (1 - BETA1) * g, m, gradient)
        v = each(lambda v, g: BETA2 * v + (1 - BETA2) * g * g, v, gradient)
        rate, scale = RATE / (1 - BETA1**t), 1 / (1 - BETA2**t)
        theta = each(lambda p, m, v: p - rate * m / (jnp.sqrt(v * scale) + EPS), theta, m, v)
        return (theta, m, v, t), value

    @partial(jax.jit, donate_argnums=0)
    def epoch(carry: Any, x: Any, target: Any, order: Any) -> Any:
        return jax.lax.scan(partial(step, x, target), carry, order)

    theta = [
        (jnp.asarray(rng.normal(0, p**-0.5, (p, q)), X.dtype), jnp.zeros(q, X.dtype))
        for p, q in case.layers
    ]
    carry = (theta, each(jnp.zeros_like, theta), each(jnp.zeros_like, theta), X.dtype.type(0))
    state = [carry]
    whole = (
        case.rows // case.batch * case.batch
    )  # a shorter last batch would need a second compiled program

    def repetition(message: dict[str, Any]) -> dict[str, Any]:
        start = time.perf_counter()
        for _ in range(message["epochs"]):
            order = rng.permutation(case.rows)[:whole].astype(np.int32).reshape(-1, case.batch)
            state[0], values = epoch(state[0], X, y, order)
        jax.block_until_ready(values)
        steps = message["epochs"] * (whole // case.batch)
        return {"seconds": time.perf_counter() - start, "steps": steps}

    return repetition
