"""How a step is cut into stages and tiles, by the tape and the batch size.

- Narrow layers are cut by rows of the batch: a tile runs all instructions forward and backward on
  its rows, and only the gradient needs the rows of all tiles.
- Wide layers are cut by columns, with a stage for each layer and direction: a tile reads only its
  own columns of W.
- Batch norm ties the rows of a batch together, so it is cut by columns; softmax ties the columns
  together, so it is cut by rows.
- The gradient and the optimiser's step are cut by blocks of θ: a block's gradient is one matrix
  product, and the step along it follows while it is in the cache.

The number of threads decides only how many rows make a tile, where what is computed of a row
depends on no other; so results do not depend on it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import numpy as np
import numpy.typing as npt

from deltarule.engine.records import (
    BY_BLOCKS,
    BY_COLUMNS,
    BY_ROWS,
    COLUMN_BLOCK,
    OF_BETA,
    OF_BIAS,
    OF_EXPANSION,
    OF_GAMMA,
    OF_GROUPS,
    OF_SCALE,
    OF_STATISTICS,
    OF_WEIGHTS,
)
from deltarule.program.opcodes import ActivationCode, ConstraintCode, Op
from deltarule.program.tape import Instruction, Tape

__all__ = ["Mode", "ParameterBlock", "WorkPlan", "make_plan", "rows_at_once", "work"]

_SMALL_STEP = 3e5  # operations below which a step is not cut
_SMALL_PREDICTION = 9e6  # the same of a step whose forward pass alone runs
_TILE = 1e6  # operations below which a tile is not worth claiming
_HALF = 2e5  # the same if there are two tiles
_LEAST_BLOCK = 1e5  # operations below which a block of W is not worth claiming
_EXPANSION_TILE = 5e7  # the same for a block of the gradient of all members' first W
_MOST_TILES = 8
_WIDE = 2**18  # entries of W from which a layer is cut by columns
_LARGE = 2**62
_ROWS_OF_BLOCK = 8  # of a matrix product on long vectors
_ROWS_OF_TILE = 48  # for which it pays to copy panels of W
_ROWS_TOGETHER = 24  # whole blocks of rows in a matrix product, on every processor
_LONG_ROW = 768  # columns of W from which blocks of its gradient have that many rows or more
_FEWEST_COLUMNS = 64  # of a layer in a tile: each tile reads all inputs
_MULTIPLIES = (Op.AFFINE, Op.EXPAND, Op.HEADS)
_SUMS_IN_TILES = (Op.SCALE, Op.PERIODIC, Op.BLOCKS)  # backward kernels, for the gradient
_CACHED = 2**18  # bytes of a layer for the rows that are predicted at once


class Mode(Enum):
    """What a call is for."""

    TRAIN = "steps along the gradient"
    SUMS = "only the gradient, summed over rows"
    APPLY = "a step along a gradient that is given"
    OUTPUTS = "the outputs"
    LOGITS = "what the output activation reads"
    LOSSES = "the losses of the rows"
    EVALUATION = "the outputs, and the losses of the rows"

    @property
    def trains(self) -> bool:
        """Whether masks are drawn and batches normalised by their own statistics."""
        return self in (Mode.TRAIN, Mode.SUMS)


@dataclass
class Stage:
    """A stage of a step; its fields are those of the record ``STAGE``, with kernels by name."""

    kernel: str
    tile_size: int
    axis: int = BY_ROWS
    extent: int = 0
    gathers: int = 0
    forward: tuple[int, int] = (0, 0)
    with_loss: int = 0
    backward: tuple[int, int] = (-1, 0)
    on_stage_end: str = ""
    limit: float = 0.0

    def record(self, address_of: Callable[[str], int]) -> tuple[float, ...]:
        """Return the fields of the record, with kernels by address."""
        on_stage_end = address_of(self.on_stage_end) if self.on_stage_end else 0
        return (
            address_of(self.kernel), self.axis, self.tile_size, self.extent, self.gathers,
            *self.forward, self.with_loss, *self.backward, on_stage_end, self.limit,
        )  # fmt: skip

    def n_tiles(self, rows: int) -> int:
        """Return into how many tiles it is cut for a batch of so many rows."""
        return -(-(self.extent or rows) // self.tile_size)


@dataclass(frozen=True)
class ParameterBlock:
    """A run of θ whose gradient is computed in one go; see the record ``PARAMETER_BLOCK``."""

    kind: int
    instruction: int
    start: int
    stop: int
    first_row: int = 0
    n_rows: int = 0

    def record(self, penalties: range, is_proximal: bool) -> tuple[int, ...]:
        """Return the fields of the record."""
        return (
            self.kind, self.instruction, self.first_row, self.n_rows, self.start, self.stop,
            penalties.start, penalties.stop, int(is_proximal),
        )  # fmt: skip


@dataclass(frozen=True)
class WorkPlan:
    """The stages of a step, and how they are cut."""

    stages: tuple[Stage, ...]
    n_prologue: int  # the first stages, which run once a call
    blocks: tuple[ParameterBlock, ...]
    column_blocks: npt.NDArray[Any]  # COLUMN_BLOCK
    n_instructions: int  # how many of the tape's run
    operations: float  # of the matrix products of a step
    is_small: bool  # not cut
    most_tiles: int
    rows_in_tile: int


def work(tape: Tape, rows: int) -> float:
    """Return the multiplications and additions of a step's matrix products."""
    return 6.0 * rows * sum(products_per_row(tape, line) for line in tape.instructions)


def products_per_row(tape: Tape, line: Instruction) -> int:
    """Return the multiplications of an instruction's matrix product for one row of the batch."""
    if line.op not in _MULTIPLIES:
        return 0
    shared = 1 if line.op == Op.EXPAND else tape.members
    return line.n_in * line.n_out // shared


def rows_at_once(tape: Tape) -> int:
    """Return how many rows are predicted at a time.

    Few, so that the outputs of a layer are still in the cache when the next one reads them; and
    many, so that it pays to copy a panel of its weights.
    """
    widest = max(line.n_out for line in tape.instructions if line.op in _MULTIPLIES)
    rows = _CACHED // (widest * np.dtype(tape.dtype).itemsize)
    return max(32, min(256, rows // 32 * 32))


def make_plan(
    tape: Tape,
    mode: Mode,
    rows: int,
    *,
    n_threads: int = 1,
    clips_norm: bool = False,
    sharded: bool = False,
) -> WorkPlan:
    """Return the plan of a step, or of a prediction, for batches of so many rows.

    ``sharded`` steps are along sums over a batch's shards.
    """
    partitioner = _Partitioner(tape, mode, rows, sharded, n_threads)
    blocks = tuple(partitioner.parameter_blocks())
    stages: list[Stage] = []
    prologue = 0
    if mode in (Mode.TRAIN, Mode.APPLY) and tape.penalties:
        stages.append(partitioner.over_blocks("penalty_sums_of_block", len(blocks)))
        prologue = 1
    if mode != Mode.APPLY:
        stages += partitioner.passes()
    columns = partitioner.column_blocks()
    if mode == Mode.SUMS:
        stages.append(partitioner.over_blocks("gradient_of_block", len(blocks)))
    elif mode in (Mode.TRAIN, Mode.APPLY):
        if sharded and mode == Mode.APPLY:
            recorder = partitioner.recorder
            stages.append(partitioner.over_blocks("mean_gradient_of_block", len(blocks), recorder))
        stages += partitioner.steps(len(blocks), len(columns), clips_norm, mode == Mode.TRAIN)
    return WorkPlan(
        stages=tuple(stages),
        n_prologue=prologue,
        blocks=blocks,
        column_blocks=columns,
        n_instructions=partitioner.n_instructions,
        operations=partitioner.operations,
        is_small=partitioner.is_small,
        most_tiles=max(stage.n_tiles(rows) for stage in stages),
        rows_in_tile=partitioner.rows_in_tile(),
    )


@dataclass
class _Partitioner:
    """The rules by which work is cut."""

    tape: Tape
    mode: Mode
    rows: int
    sharded: bool = False
    n_threads: int = 1
    body: tuple[Instruction, ...] = field(init=False)
    n_instructions: int = field(init=False)
    operations: float = field(init=False)
    is_small: bool = field(init=False)

    def __post_init__(self) -> None:
        needed = self.tape.loss.source
        if self.mode in (Mode.OUTPUTS, Mode.EVALUATION):
            needed = self.tape.output
        elif self.mode == Mode.LOGITS:
            needed = self.tape.logits
        self.n_instructions = needed  # instruction i writes register i + 1
        self.body = self.tape.instructions[: self.n_instructions]
        self.operations = work(self.tape, self.rows)
        steps = self.mode.trains or self.mode == Mode.APPLY
        self.is_small = self.operations < (_SMALL_STEP if steps else _SMALL_PREDICTION)

    @property
    def recorder(self) -> str:
        """The kernel that records a step's loss."""
        return "record_loss_of_shards" if self.sharded else "record_loss"

    # --- passes over rows and columns --------------------------------------------------------

    def rows_in_tile(self) -> int:
        """Return how many rows of the batch make a tile."""
        if not self.mode.trains:
            return self.rows  # those that are predicted at once
        if self.is_small:
            return _LARGE
        tiles = _MOST_TILES
        while tiles > 1 and self.operations * 2 / 3 / tiles < (_TILE if tiles > 2 else _HALF):
            tiles //= 2
        if tiles == 1 or any(
            line.op in _SUMS_IN_TILES or _is_parametric(line) for line in self.tape.instructions
        ):
            return -(-self.rows // tiles)
        if self.tape.members == 1:  # few tiles where few threads share them
            tiles = min(tiles, max(self.n_threads, self.rows // _ROWS_OF_TILE))
        return _ROWS_OF_BLOCK * max(1, -(-self.rows // tiles) // _ROWS_OF_BLOCK)

    def is_cut_by_columns(self, line: Instruction) -> bool:
        """Whether an affine map is so wide that its tiles are columns."""
        wide = line.n_in * line.n_out >= _WIDE and self.tape.members == 1
        return self.mode.trains and not self.is_small and wide

    def columns_in_tile(self, width: int) -> int:
        """Return how many columns of a layer make a tile: whole SIMD vectors."""
        if self.is_small:
            return width
        return max(_FEWEST_COLUMNS, 16 * -(-width // (16 * _MOST_TILES)))

    def passes(self) -> list[Stage]:
        """Return the stages of the forward and backward pass."""
        stages = [Stage("forward_backward", self.rows_in_tile(), gathers=1)]
        for number, line in enumerate(self.body):
            self._forward(stages, number, line)
        if self.mode in (Mode.OUTPUTS, Mode.LOGITS):
            return stages
        if stages[-1].axis == BY_COLUMNS:
            stages.append(self._by_rows((self.n_instructions, self.n_instructions)))
        stages[-1].with_loss = 1
        if self.mode.trains:
            first = self.tape.first_trained
            # The backward kernels of these also compute what their gradients are made of.
            end = first.target - 2 if first.op in _SUMS_IN_TILES else first.target - 1
            for number in range(self.n_instructions - 1, end, -1):
                self._backward(stages, number, self.body[number])
        if self.mode == Mode.TRAIN or (self.sharded and self.mode == Mode.SUMS):
            stages[-1].on_stage_end = self.recorder
        return stages

    def _by_rows(self, forward: tuple[int, int]) -> Stage:
        return Stage("forward_backward", self.rows_in_tile(), forward=forward)

    def _by_columns(self, width: int, forward: tuple[int, int]) -> Stage:
        return Stage(
            "forward_backward", self.columns_in_tile(width), BY_COLUMNS, width, forward=forward
        )

    def _forward(self, stages: list[Stage], number: int, line: Instruction) -> None:
        last = stages[-1]
        on_columns = last.axis == BY_COLUMNS
        lines = (number, number + 1)
        if (line.op == Op.AFFINE and self.is_cut_by_columns(line)) or (
            line.op == Op.NORMALIZE and self.mode.trains and not on_columns
        ):
            stages.append(self._by_columns(line.n_out, lines))
        elif on_columns and (line.op == Op.AFFINE or _needs_whole_rows(line)):
            stages.append(self._by_rows(lines))
        elif last.forward[1] == number and last.forward[0] < number:
            last.forward = (last.forward[0], number + 1)
        else:
            last.forward = lines

    def _backward(self, stages: list[Stage], number: int, line: Instruction) -> None:
        last = stages[-1]
        on_columns = last.axis == BY_COLUMNS
        nothing = (self.n_instructions, self.n_instructions)
        if (line.op == Op.AFFINE and self.is_cut_by_columns(line)) or (
            line.op == Op.NORMALIZE and not on_columns
        ):
            stages.append(self._by_columns(line.n_in, nothing))
        elif on_columns and (line.op == Op.AFFINE or _needs_whole_rows(line)):
            stages.append(self._by_rows(nothing))
        last = stages[-1]
        begin = last.backward[0] if last.backward[0] >= 0 else number
        last.backward = (begin, number)

    # --- blocks of parameters ----------------------------------------------------------------

    def parameter_blocks(self) -> Iterator[ParameterBlock]:
        """Yield the blocks of θ, in the order of the tape; those that need others' work last."""
        k = self.tape.members
        for number, line in enumerate(self.tape.instructions[:-1]):
            width = line.n_out
            if line.op in _MULTIPLIES:
                yield from self._blocks_of_weights(number, line)
                if line.bias >= 0 and line.op != Op.EXPAND:
                    yield ParameterBlock(OF_BIAS, number, line.bias, line.bias + width)
            elif line.op in (Op.PERIODIC, Op.BLOCKS):
                yield from self._blocks_of_groups(number, line)
            elif line.op == Op.SCALE or _is_parametric(line):
                yield ParameterBlock(OF_SCALE, number, line.weights, line.weights + width)
                if line.bias >= 0:
                    yield ParameterBlock(OF_BIAS, number, line.bias, line.bias + width)
            elif line.op == Op.NORMALIZE:
                yield ParameterBlock(OF_GAMMA, number, line.weights, line.weights + width)
                yield ParameterBlock(OF_BETA, number, line.bias, line.bias + width)
                yield ParameterBlock(OF_STATISTICS, number, 0, 0)
        first = self.tape.instructions[0]
        if first.op == Op.EXPAND:
            yield ParameterBlock(OF_EXPANSION, 0, first.bias, first.bias + k * first.n_in)

    def _blocks_of_groups(self, number: int, line: Instruction) -> Iterator[ParameterBlock]:
        """Yield the blocks of an instruction on groups of columns: one for each parameter."""
        stops = {p.start: p.stop for p in self.tape.parameters}
        kind = OF_SCALE if line.op == Op.PERIODIC else OF_GROUPS
        yield ParameterBlock(kind, number, line.weights, stops[line.weights])
        if line.bias >= 0:
            yield ParameterBlock(OF_BIAS, number, line.bias, stops[line.bias])

    def _blocks_of_weights(self, number: int, line: Instruction) -> Iterator[ParameterBlock]:
        """Yield blocks of some rows of W; those of heads stand one member after another."""
        k = self.tape.members
        rows = line.n_in if line.op != Op.AFFINE else line.n_in // k
        width = line.n_out // k
        unit = 1 if k == 1 else _ROWS_TOGETHER
        unit = line.n_in // k if line.op == Op.HEADS else unit  # heads are not cut
        blocks = 1
        if not self.is_small:
            operations = 2 * self.rows * products_per_row(self.tape, line)
            # Each block of EXPAND reads the derivatives of all members: it is worth some rows.
            tile = _EXPANSION_TILE if line.op == Op.EXPAND else self._operations_of_block()
            most = _MOST_TILES if k == 1 else 2 * _MOST_TILES
            blocks = max(1, min(int(operations / tile), most, -(-rows // unit)))
        if k == 1 and width >= _LONG_ROW and -(-rows // blocks) < _ROWS_TOGETHER:
            unit = _ROWS_TOGETHER  # few rows would take longer to read the others' derivatives
        count = unit * -(-rows // (unit * blocks))
        if k == 1 and blocks > 1:
            count = _ROWS_TOGETHER * max(1, round(rows / (_ROWS_TOGETHER * blocks)))
        for first in range(0, rows, count):
            here = min(count, rows - first)
            start = line.weights + first * width
            yield ParameterBlock(OF_WEIGHTS, number, start, start + here * width, first, here)

    def _operations_of_block(self) -> float:
        """Return the operations of the gradient that are worth a block."""
        return min(_TILE, max(_LEAST_BLOCK, self.operations / 3 / _MOST_TILES))

    def over_blocks(self, kernel: str, n_blocks: int, on_stage_end: str = "") -> Stage:
        """Return a stage over all blocks of parameters, or of columns."""
        tile_size = n_blocks if self.is_small else 1
        return Stage(kernel, tile_size, BY_BLOCKS, n_blocks, on_stage_end=on_stage_end)

    def column_blocks(self) -> npt.NDArray[Any]:
        """Return the blocks of columns for max-norm by units."""
        blocks = [
            (start, rows, columns, left)
            for parameter in self.tape.parameters
            if parameter.is_weights
            for start, rows, columns in parameter.matrices
            for left in range(0, columns, 64)
        ]
        return np.array(blocks, dtype=COLUMN_BLOCK)

    def steps(
        self, n_blocks: int, n_columns: int, clips_norm: bool, with_gradient: bool
    ) -> list[Stage]:
        """Return the stages from the gradient to the end of the step."""
        stages, prefix = [], "sharded_" if self.sharded else ""
        if clips_norm and with_gradient:
            stages.append(self.over_blocks(prefix + "gradient_of_block", n_blocks))
        if clips_norm:
            stages.append(
                self.over_blocks("gradient_norm_of_block", n_blocks, "find_gradient_scale")
            )
        at_once = with_gradient and not clips_norm
        n_last = int(at_once and self.tape.instructions[0].op == Op.EXPAND)
        step = prefix + "gradient_and_step_of_block" if at_once else "step_of_block"
        stages.append(self.over_blocks(step, n_blocks - n_last))
        if n_last:
            stages.append(self.over_blocks("step_of_last_block", n_last))
        for constraint in self.tape.constraints:
            if constraint.code == ConstraintCode.UNIT_NORM:
                stage = self.over_blocks("clip_columns", n_columns)
            else:
                stage = self.over_blocks("weight_norm_of_block", n_blocks, "find_weight_scale")
            stage.limit = constraint.limit
            stages.append(stage)
            if constraint.code == ConstraintCode.TOTAL_NORM:
                stages.append(self.over_blocks("rescale_block", n_blocks))
        if self.tape.constraints and self.tape.penalties:
            stages.append(self.over_blocks("penalty_sums_of_block", n_blocks))
        stages[-1].on_stage_end = "count_step"
        return stages


def _is_parametric(line: Instruction) -> bool:
    return line.op == Op.ACTIVATE and line.weights >= 0


def _needs_whole_rows(line: Instruction) -> bool:
    softmax = line.op == Op.ACTIVATE and line.code == ActivationCode.SOFTMAX
    return softmax or line.op in (Op.PERIODIC, Op.BLOCKS)
