"""Runs of epochs: whole epochs of small networks, one after another in one call."""

from __future__ import annotations

from deltarule.engine.kernels.intrinsics import (
    call,
    context_at,
    copy_bytes,
    epochs_at,
    load_atomically,
    optimizer_at,
    read,
    size_of,
    vector,
)

__all__ = ["run_epochs"]


def run_epochs(context, epochs, one):
    """Run the steps of every epoch on one thread; keep the state and the outputs after each.

    It ends in the epoch with a loss that is not finite, which does not count as whole.
    """
    c, e = context_at(context), epochs_at(epochs)
    size = e.n_parameters * size_of(one)
    taken = vector(e.steps_taken, e.n_epochs, 1)
    products = vector(e.momentum_products, e.n_epochs, 1.0)
    for i in range(e.n_epochs):
        steps = 8 * i * e.n_steps
        c.rows = e.rows + 8 * i * e.n_rows
        c.learning_rates, c.batch_weights = e.learning_rates + steps, e.batch_weights + steps
        c.losses, c.penalty_values = e.losses + steps, e.penalty_values + steps
        call(e.run, (context, one))
        if load_atomically(c.stop) < e.n_steps:
            return
        state = e.states + e.n_arrays * i * size
        copy_bytes(c.theta, state, size)
        copy_bytes(c.slot_1, state + size, size)
        if e.n_arrays > 2:
            copy_bytes(c.slot_2, state + 2 * size, size)
        taken[i], products[i] = read(c.steps_taken), optimizer_at(c.optimizer).momentum_product
        if e.evaluation != 0:
            measured = context_at(e.evaluation)
            measured.output = e.outputs + i * e.outputs_size
            measured.output_losses = e.output_losses + i * e.losses_size
            call(e.run, (e.evaluation, one))
        e.whole = i + 1
