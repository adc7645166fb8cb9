"""Where things stand in the integer tables that kernels read: the one place for these numbers.

Kernels take one address, that of the context. It leads to every array of a run: θ, the tables of
lines, stages and chunks, the rows of the block, the buffers. Python writes them, kernels read.
"""

from __future__ import annotations

# --- the context: int64, one field each -----------------------------------------------------------
THETA = 0  # address of θ (p,)
GRADIENT = 1  # address of the gradient (p,)
LINES = 2  # address of the lines (n_lines, LINE_FIELDS)
CONSTANTS = 3  # address of their constants (n_lines,) float64
STAGES = 4  # address of the stages (n_stages, STAGE_FIELDS)
N_STAGES = 5
N_PROLOGUE = 6  # the first stages, which run once and not in every step
CHUNKS = 7  # address of the chunks (n_chunks, CHUNK_FIELDS)
N_CHUNKS = 8
PENALTIES = 9  # address of the penalties (n_penalties, PENALTY_FIELDS)
STRENGTHS = 10  # address of their strengths (n_penalties,) float64
N_PENALTIES = 11

X = 12  # address of the dense inputs (n, d); 0 if they are CSR
Y = 13  # address of the targets (n, k); 0 at prediction
WEIGHT = 14  # address of the sample weights (n,); 0 if all are 1
ROWS = 15  # address of the row numbers; 0: rows in their order, read where they lie
BOUNDS = 16  # address of the batches' bounds
N_INPUTS = 17
N_OUTPUTS = 18
INDPTR = 19  # CSR
INDICES = 20
DATA = 21
INPUT_DROPOUTS = 22  # address of (keep, number) pairs, float64: dropouts of CSR inputs
N_INPUT_DROPOUTS = 23

BEGIN = 24  # the first step of the call, counted in the order
END = 25  # one past the last
FIRST = 26  # the place of row 0 in the whole batch, for masks
SEED = 27
RATES = 28  # address of the learning rates, float64
BATCH_WEIGHT = 29  # address of every batch's Σw, float64
LOSS = 30  # address of the loss of every step, float64
PENALTY = 31  # address of the penalty of every step, float64
TOTALS = 32  # whether gradients are sums over rows, not means

BATCH_X = 33  # address of the batch's inputs (b, d)
BATCH_Y = 34  # address of its targets (b, k)
FACTOR = 35  # address of what each row's loss counts (b,)
SHARE = 36  # address of each row's share of the batch's weight (b,)
ROW_LOSSES = 37  # address of the losses (b,)
OUTPUT = 38  # address where outputs go (n, k); 0: nowhere
OUTPUT_SLOT = 39  # address of the slot that holds them
OUTPUT_LOSSES = 40  # address where row losses go (n,); 0: nowhere

LOSS_KERNEL = 41
LOSS_SOURCE = 42  # address of the slot that the loss reads
LOSS_DELTA = 43  # address of its adjoint; 0: no gradient wanted
LOSS_CONSTANTS = 44
N_LOSS_CONSTANTS = 45

UPDATE_KERNEL = 46
SLOT_1 = 47  # addresses of what the optimiser remembers (p,); 0 if it remembers nothing
SLOT_2 = 48
UPDATE_CONSTANTS = 49  # address, float64
PENALTY_KERNEL = 51  # of L1 and proximal steps; 0 if none
CLIP_KERNEL = 52
STATISTICS_KERNEL = 53

SQUARES = 54  # address, float64 (n_chunks,): Σθ² over every chunk
ABSOLUTES = 55  # address, float64 (n_chunks,): Σ|θ|
LARGEST = 56  # address, float64 (n_chunks,): the largest |entry|, for norms
SCALED = 57  # address, float64 (n_chunks,): Σ(entry/largest)²
NUMBERS = 58  # address of single numbers, float64: see below
COLUMN_CHUNKS = 59  # address of (matrix start, rows, columns, first column), for max-norm

NEXT = 60  # addresses of the threads' counters: the next piece, pieces done, the stop, …
DONE = 61
STOP = 62
TAKEN = 63  # address: steps the optimiser has taken
STEP = 64  # address: the step of the state, which masks depend on
PRODUCT = 65  # addresses of the kernels that multiply matrices
PRODUCT_BY_TRANSPOSE = 66
PASS_TURN = 67  # address of sched_yield; 0: there is none
N_THREADS = 68
COLUMN_NORMS = 69  # address, θ's type: for every piece of columns, 64 largest entries and 64 norms
CONTEXT_FIELDS = 72

# --- lines: int64; an OP of 0 does nothing --------------------------------------------------------
OP = 0
CODE = 1
SOURCE = 2  # address of the slot read; 0: the batch's inputs
TARGET = 3  # address of the slot written
SOURCE_DELTA = 4  # address of ∂C/∂source; 0: nobody asks
TARGET_DELTA = 5
N_IN = 6
N_OUT = 7
WEIGHTS = 8  # offset in θ
BIAS = 9  # offset in θ, or -1
FORWARD = 10  # address of the kernel, where the driver has none of its own
BACKWARD = 11
EXTRA = 12  # address: masks (b, width), or the normalised x̂ (b, width)
STATISTICS = 13  # address: μ, σ², 1/√(σ² + ε) of the batch, each (width,)
POPULATION = 14  # address: the mean and variance kept, each (width,)
SEEN = 15  # address, float64: the weight behind them; 0: running averages
LINE_FIELDS = 16

# --- stages: int64 --------------------------------------------------------------------------------
KERNEL = 0  # address: of the pass, or of what is done to a chunk
AXIS = 1
GRAIN = 2  # rows, columns or chunks in a piece
EXTENT = 3  # columns or chunks; 0: the rows of the batch
GATHER = 4  # whether the batch's rows are copied in first
FORWARD_FROM = 5
FORWARD_TO = 6
WITH_LOSS = 7
BACKWARD_FROM = 8  # lines from here down to BACKWARD_TO
BACKWARD_TO = 9
EPILOGUE = 10  # address of what the last thread does; 0: nothing
STAGE_LIMIT = 11  # where among the single numbers a constraint's limit stands
STAGE_FIELDS = 12

# axes
BY_ROWS = 0
BY_COLUMNS = 1
BY_CHUNKS = 2

# --- chunks: int64 --------------------------------------------------------------------------------
CHUNK_KIND = 0
CHUNK_LINE = 1
CHUNK_FIRST = 2  # first row of W
CHUNK_COUNT = 3  # rows of W
CHUNK_START = 4  # in θ
CHUNK_STOP = 5
CHUNK_PENALTY_FROM = 6  # the penalties that speak of it
CHUNK_PENALTY_TO = 7
CHUNK_IS_PROXIMAL = 8  # whether one of them is taken after the step
CHUNK_FIELDS = 9

# kinds of chunks
OF_WEIGHTS = 0
OF_BIAS = 1
OF_GAMMA = 2
OF_BETA = 3
OF_STATISTICS = 4

# --- penalties: int64 -----------------------------------------------------------------------------
PENALTY_CODE = 0
PENALTY_PER_BATCH = 1
PENALTY_CHUNK_FROM = 2
PENALTY_CHUNK_TO = 3
PENALTY_FIELDS = 4

# --- the optimiser's constants: float64 -----------------------------------------------------------
NADAM_DECAY = 6  # ψ; below 0 for every other optimiser
WEIGHT_DECAY = 7
N_UPDATE_CONSTANTS = 8

# --- single numbers: float64 ----------------------------------------------------------------------
CLIP_SCALE = 0  # what gradients are multiplied by
WEIGHT_SCALE = 1  # what weights are multiplied by
LIMIT = 2  # of the clipping
NADAM_PRODUCT = 3  # Π μ_i
WEIGHT_LIMITS = 4  # of the constraints, from here on
