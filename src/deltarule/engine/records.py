"""The records that Python writes and kernels read, as structured dtypes.

A kernel takes one address, that of the context. The context leads to every array of a call: θ, the
tables of instructions, stages and parameter blocks, the rows of the user's data, the buffers.
"An address" below is the address of an array's first number, as an integer; 0 means that the array
does not exist.
"""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any

import numpy as np

__all__ = [
    "BY_BLOCKS",
    "BY_COLUMNS",
    "BY_ROWS",
    "COLUMN_BLOCK",
    "CONTEXT",
    "COUNTERS",
    "INPUT_DROPOUT",
    "INSTRUCTION",
    "OF_BETA",
    "OF_BIAS",
    "OF_EXPANSION",
    "OF_GAMMA",
    "OF_GROUPS",
    "OF_SCALE",
    "OF_STATISTICS",
    "OF_WEIGHTS",
    "OPTIMIZER",
    "PARAMETER_BLOCK",
    "PENALTY",
    "POPULATION",
    "STAGE",
    "structure_of",
]

_ADDRESS, _INT, _FLAG, _FLOAT = np.int64, np.int64, np.int64, np.float64

CONTEXT = np.dtype(
    [
        # parameters
        ("theta", _ADDRESS),  # θ (p,)
        ("gradient", _ADDRESS),  # (p,)
        # tables
        ("instructions", _ADDRESS),  # INSTRUCTION (n,)
        ("stages", _ADDRESS),  # STAGE (n_stages,)
        ("n_stages", _INT),
        ("n_prologue", _INT),  # the first stages, which run once a call and not in every step
        ("blocks", _ADDRESS),  # PARAMETER_BLOCK (n_blocks,)
        ("n_blocks", _INT),
        ("penalties", _ADDRESS),  # PENALTY (n_penalties,)
        ("n_penalties", _INT),
        ("column_blocks", _ADDRESS),  # COLUMN_BLOCK (n,)
        # the user's rows
        ("x", _ADDRESS),  # dense inputs (n, d); 0 if they are CSR
        ("n_inputs", _INT),
        ("indptr", _ADDRESS),  # CSR inputs: int64 (n + 1,)
        ("indices", _ADDRESS),  # int64 (n_stored,)
        ("data", _ADDRESS),  # (n_stored,)
        ("y", _ADDRESS),  # targets (n, k); 0 at prediction
        ("n_outputs", _INT),
        ("weight", _ADDRESS),  # sample weights (n,); 0 if all are 1
        ("members", _INT),  # k
        ("checks_inputs", _FLAG),  # whether dense inputs are searched for NaN and infinity
        ("odd_inputs", _FLAG),  # set to 1 where one is found
        ("input_dropouts", _ADDRESS),  # INPUT_DROPOUT (n,): dropouts of CSR inputs
        ("n_input_dropouts", _INT),
        # the mini-batches
        ("rows", _ADDRESS),  # row numbers, int64; 0: rows in their order, read in place
        ("bounds", _ADDRESS),  # batch k is rows[bounds[k]:bounds[k + 1]], int64
        ("begin", _INT),  # the first step of this call
        ("end", _INT),  # one past the last
        ("first_row", _INT),  # position of row 0 in the whole batch, for dropout's masks
        ("seed", _INT),
        ("learning_rates", _ADDRESS),  # of every step, float64
        ("batch_weights", _ADDRESS),  # Σw of every batch, float64
        ("losses", _ADDRESS),  # the loss of every step is written here, float64
        ("penalty_values", _ADDRESS),  # and its penalty, float64
        ("sums_rows", _FLAG),  # whether gradients are sums over rows, and not means
        # buffers of one batch of b rows
        ("batch_x", _ADDRESS),  # inputs (b, d)
        ("batch_y", _ADDRESS),  # targets, of every member (b k, n_outputs)
        ("factor", _ADDRESS),  # what each member's loss of a row is multiplied by (b k,)
        ("share", _ADDRESS),  # each row's share of the batch's weight (b,)
        ("row_losses", _ADDRESS),  # of every member (b k,)
        # memory of one tile at a time
        ("scratch", _ADDRESS),  # n_scratch areas of scratch_size numbers
        ("scratch_size", _INT),
        ("scratch_flags", _ADDRESS),  # 1 for an area in use, 64 bytes apart
        ("n_scratch", _INT),  # at least as many as threads
        # where results go
        ("output", _ADDRESS),  # outputs (n, k) are written here; 0: nowhere
        ("output_register", _ADDRESS),  # the register that holds them
        ("output_width", _INT),
        ("output_losses", _ADDRESS),  # the losses of the rows (n,) are written here; 0: nowhere
        # the loss
        ("loss_kernel", _ADDRESS),
        ("loss_input", _ADDRESS),  # the register that the loss reads
        ("loss_delta", _ADDRESS),  # ∂C/∂loss_input is written here; 0: no gradient is wanted
        ("loss_constants", _ADDRESS),  # float64
        ("n_loss_constants", _INT),
        # the step
        ("update_kernel", _ADDRESS),
        ("slot_1", _ADDRESS),  # the optimiser's averages (p,); 0 if it has none
        ("slot_2", _ADDRESS),
        ("optimizer", _ADDRESS),  # one OPTIMIZER
        ("penalty_kernel", _ADDRESS),  # of L1 and proximal L1; 0 if there is none
        ("clip_kernel", _ADDRESS),  # 0: the gradient is not clipped
        ("clip_limit", _FLOAT),
        ("clip_scale", _FLOAT),  # what gradients are multiplied by, from stage to stage
        ("weight_scale", _FLOAT),  # what weights are multiplied by
        ("population_kernel", _ADDRESS),  # of batch norm's statistics for prediction
        # one float64 for every parameter block
        ("squares", _ADDRESS),  # Σθ²
        ("absolutes", _ADDRESS),  # Σ|θ|
        ("largest", _ADDRESS),  # the largest |entry|, for norms
        ("scaled_squares", _ADDRESS),  # Σ(entry/largest)²
        ("column_norms", _ADDRESS),  # for every column block 64 largest entries and 64 norms
        # threads
        ("n_threads", _INT),
        ("shares", _ADDRESS),  # what is taken of each thread's share, int64, 128 bytes apart
        ("n_entered", _ADDRESS),  # addresses of the fields of COUNTERS
        ("tiles_done", _ADDRESS),
        ("stop", _ADDRESS),
        ("steps_taken", _ADDRESS),
        ("state_step", _ADDRESS),
        ("yield_thread", _ADDRESS),  # the system's sched_yield; 0: there is none
        # matrix products
        ("product", _ADDRESS),
        ("product_by_transpose", _ADDRESS),
        ("product_of_shards", _ADDRESS),
        # shards of a batch, whose sums are added in a balanced tree
        ("n_shards", _INT),  # a power of two; 0: the batch is not cut
        ("shard_bounds", _ADDRESS),  # shard s of batch k: rows bounds[k, s:s + 2], int64
        ("shard_gradients", _ADDRESS),  # sums that wait for others, (levels, p)
        ("shard_losses", _ADDRESS),  # the same for losses, float64 (levels,)
        ("n_parameters", _INT),  # p
    ],
    align=True,
)
"""What a call works on: one record, which every kernel can reach."""

COUNTERS = np.dtype(
    {
        "names": ["n_entered", "tiles_done", "stop", "steps_taken", "state_step"],
        "formats": [np.int64] * 5,
        "offsets": [0, 64, 128, 192, 256],
        "itemsize": 320,
    },
    align=True,
)
"""Numbers that threads change: the threads that have entered and the tiles done in this call,
the step after which the call stops, the optimiser's steps, and the state's step (for masks). Each
has a cache line of its own.
"""

EPOCHS = np.dtype(
    [
        ("run", _ADDRESS),  # the driver
        ("n_epochs", _INT),
        ("n_rows", _INT),  # row numbers in an epoch's order
        ("n_steps", _INT),  # in an epoch
        ("rows", _ADDRESS),  # the orders, int64 (n_epochs, n_rows)
        ("learning_rates", _ADDRESS),  # float64 (n_epochs, n_steps)
        ("batch_weights", _ADDRESS),  # Σw of every batch, float64 (n_epochs, n_steps)
        ("losses", _ADDRESS),  # of every step, float64 (n_epochs, n_steps)
        ("penalty_values", _ADDRESS),  # float64 (n_epochs, n_steps)
        ("whole", _INT),  # the epochs whose steps were all taken
        # what every epoch leaves
        ("n_parameters", _INT),  # p
        ("n_arrays", _INT),  # θ, and one or two averages
        ("states", _ADDRESS),  # these arrays, (n_epochs, n_arrays, p)
        ("steps_taken", _ADDRESS),  # the optimiser's counter, int64 (n_epochs,)
        ("momentum_products", _ADDRESS),  # Nadam's, float64 (n_epochs,)
        # what is measured after every epoch
        ("evaluation", _ADDRESS),  # the context of a prediction; 0: nothing
        ("outputs", _ADDRESS),
        ("outputs_size", _INT),  # bytes for each epoch
        ("output_losses", _ADDRESS),
        ("losses_size", _INT),  # bytes for each epoch
    ],
    align=True,
)
"""A run of epochs: what changes from one to the next, and what each of them leaves."""

INSTRUCTION = np.dtype(
    [
        ("op", _INT),  # an Op; 0: nothing to do
        ("code", _INT),  # which activation, normalisation or dropout
        ("input", _ADDRESS),  # the register read (b, n_in); 0: the batch's inputs
        ("output", _ADDRESS),  # the register written (b, n_out)
        ("members", _INT),  # how many times n_in or n_out stand in a row of a register
        ("input_delta", _ADDRESS),  # ∂C/∂input; 0: not needed
        ("output_delta", _ADDRESS),  # ∂C/∂output
        ("n_in", _INT),
        ("n_out", _INT),
        ("weights", _INT),  # offset in θ
        ("bias", _INT),  # offset in θ, of r for EXPAND; or -1
        ("constant", _FLOAT),  # the activation's parameter; ε; the probability of keeping
        ("forward", _ADDRESS),  # kernel; 0 for an affine map of dense inputs
        ("backward", _ADDRESS),  # kernel: the input's derivative; 0 for an affine map
        (
            "gradient",
            _ADDRESS,
        ),  # kernel: the weights' gradient; 0 for an affine map of dense inputs
        (
            "extra",
            _ADDRESS,
        ),  # masks, x̂, g(z) of a parametric activation (b, n_out), or dense inputs
        (
            "tile_sums",
            _ADDRESS,
        ),  # Σ x ⊙ ∂C/∂y and Σ ∂C/∂y of every tile of rows (n_tiles, 2, n_out)
        ("rows_in_tile", _INT),
        ("statistics", _ADDRESS),  # μ, σ², 1/√(σ² + ε) of the batch, each (n_out,)
        ("population_statistics", _ADDRESS),  # mean and variance for prediction, each (n_out,)
        ("population", _ADDRESS),  # one POPULATION
        ("kept", _ADDRESS),  # ∂C/∂output of a parametric activation (b, n_out)
        ("groups", _ADDRESS),  # int64, of PERIODIC and BLOCKS: see ``kernels/features``
        ("n_groups", _INT),
        ("n_runs", _INT),  # runs of columns in no group
        ("n_ahead", _INT),  # columns in no group
    ],
    align=True,
)
"""An instruction of the tape, with the addresses of its registers."""

STAGE = np.dtype(
    [
        ("kernel", _ADDRESS),
        ("axis", _INT),  # BY_ROWS, BY_COLUMNS or BY_BLOCKS
        ("tile_size", _INT),  # rows, columns or parameter blocks in a tile
        ("extent", _INT),  # columns or parameter blocks in all; 0: the rows of the batch
        ("gathers", _FLAG),  # whether the batch's rows are copied together first
        ("forward_from", _INT),  # instructions [forward_from, forward_to) run forward
        ("forward_to", _INT),
        ("with_loss", _FLAG),
        ("backward_from", _INT),  # from here down to backward_to they run backward
        ("backward_to", _INT),
        ("on_stage_end", _ADDRESS),  # kernel that one thread runs after the last tile; 0: none
        ("limit", _FLOAT),  # of the constraint that the stage applies
    ],
    align=True,
)
"""A stage of a step: work that is cut into tiles, which threads claim."""

BY_ROWS, BY_COLUMNS, BY_BLOCKS = 0, 1, 2

PARAMETER_BLOCK = np.dtype(
    [
        ("kind", _INT),  # OF_WEIGHTS, OF_BIAS, …
        ("instruction", _INT),
        ("first_row", _INT),  # of W
        ("n_rows", _INT),  # of W
        ("start", _INT),  # θ[start:stop]
        ("stop", _INT),
        ("penalties_from", _INT),  # the penalties on these parameters
        ("penalties_to", _INT),
        ("is_proximal", _FLAG),  # whether one of them is applied after the step
    ],
    align=True,
)
"""A run of θ whose gradient is computed in one go, and stepped along."""

OF_WEIGHTS, OF_BIAS, OF_GAMMA, OF_BETA, OF_STATISTICS, OF_SCALE, OF_EXPANSION, OF_GROUPS = range(8)

PENALTY = np.dtype(
    [
        ("code", _INT),  # a PenaltyCode
        ("per_batch", _FLAG),  # whether the strength is divided by the batch's weight
        ("blocks_from", _INT),  # its parameter blocks
        ("blocks_to", _INT),
        ("strength", _FLOAT),
    ],
    align=True,
)
"""A penalty on a run of parameter blocks."""

COLUMN_BLOCK = np.dtype(
    [("start", _INT), ("n_rows", _INT), ("n_columns", _INT), ("first_column", _INT)], align=True
)
"""Up to 64 columns of the matrix (n_rows, n_columns) at θ[start:], from ``first_column`` on."""

INPUT_DROPOUT = np.dtype([("keep", _FLOAT), ("number", _INT)], align=True)
"""A dropout before the first layer: the probability of keeping, and its number on the tape."""

POPULATION = np.dtype(
    [
        ("momentum", _FLOAT),  # share of the newest batch in running averages; 0: the epoch's mean
        ("weight_seen", _FLOAT),  # Σw of the batches in the epoch's mean
        ("is_corrected", _FLAG),  # whether the batch's variance has its factor b/(b − 1) already
    ],
    align=True,
)
"""How batch statistics are averaged into those that prediction uses."""

OPTIMIZER = np.dtype(
    [
        ("momentum", _FLOAT),
        ("nesterov", _FLAG),
        ("beta1", _FLOAT),
        ("beta2", _FLOAT),
        ("epsilon", _FLOAT),
        ("weight_decay", _FLOAT),  # λ of AdamW
        ("momentum_decay", _FLOAT),  # ψ of Nadam; below 0 for every other optimiser
        ("momentum_product", _FLOAT),  # Π μ_i of Nadam
        ("eta_minus", _FLOAT),  # Rprop
        ("eta_plus", _FLOAT),
        ("min_step", _FLOAT),
        ("max_step", _FLOAT),
    ],
    align=True,
)
"""The optimiser's constants; each optimiser reads the ones that it has."""


@cache
def structure_of(record: np.dtype[Any]) -> type[Any]:
    """Return the ctypes structure with a record's fields: Python reads and writes them by name.

    Setting a field takes a tenth of the time that NumPy's structured scalars take, which counts
    when one row is predicted.
    """
    assert record.fields is not None
    kinds = {"i": ctypes.c_int64, "f": ctypes.c_double}
    fields: list[tuple[str, Any]] = []
    end = 0
    for name in record.names or ():
        kind, offset = record.fields[name][:2]
        if offset > end:
            fields.append((f"_gap_{end}", ctypes.c_char * (offset - end)))
        fields.append((name, kinds[kind.kind]))
        end = offset + kind.itemsize
    return type("Record", (ctypes.Structure,), {"_fields_": fields, "__slots__": ()})
