"""How a step is cut into stages and pieces: by the tape and the batch size alone.

Narrow layers are cut by rows of the batch: a piece goes all the way out and back on its rows, and
only the gradient's stage needs everybody's. Wide layers are cut by columns, a stage a layer and a
direction: every piece reads its own columns of W only. What ties rows together, a normalisation,
is cut by columns; what ties columns together, a softmax, by rows. The gradient and the step are
cut into chunks of θ: a chunk's gradient is one matrix product, and its step follows while it is
in the cache.

The number of threads is never looked at, so that results do not depend on it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum

import numpy as np
import numpy.typing as npt

from deltarule.engine import layout as at
from deltarule.opcodes import ActivationCode, ConstraintCode, Op
from deltarule.tape import Instruction, Tape

__all__ = ["PREDICTED_AT_ONCE", "Chunk", "Mode", "Plan", "make_plan"]

_SMALL_STEP = 3e6  # operations below which a second thread does not pay
_PIECE = 1e6  # operations that make a piece worth taking
_MOST_PIECES = 8
_WIDE = 2**18  # entries of W from which a layer is cut by columns
_LARGE = 2**62
PREDICTED_AT_ONCE = 64  # rows


class Mode(Enum):
    """What a call is for."""

    TRAIN = "steps along the gradient"
    SUMS = "the gradient alone, summed over rows"
    APPLY = "a step along a gradient that is given"
    OUTPUTS = "the outputs"
    LOGITS = "what the output activation reads"
    LOSSES = "the losses of the rows"

    @property
    def trains(self) -> bool:
        """Whether masks are drawn and batches normalised by their own statistics."""
        return self in (Mode.TRAIN, Mode.SUMS)


@dataclass
class Stage:
    """A line of the table of stages; see ``layout``."""

    kernel: str
    grain: int
    axis: int = at.BY_ROWS
    extent: int = 0
    gather: int = 0
    forward: tuple[int, int] = (0, 0)
    with_loss: int = 0
    backward: tuple[int, int] = (-1, 0)
    epilogue: str = ""  # a kernel
    limit: int = 0  # where among the single numbers a constraint's limit stands

    def row(self, address_of: Callable[[str], int]) -> list[int]:
        """Return the fields in the table's order."""
        epilogue = address_of(self.epilogue) if self.epilogue else 0
        return [
            address_of(self.kernel), self.axis, self.grain, self.extent, self.gather,
            *self.forward, self.with_loss, *self.backward, epilogue, self.limit,
        ]  # fmt: skip

    def pieces(self, rows: int) -> int:
        """Return in how many pieces it falls for a batch."""
        return -(-(self.extent or rows) // self.grain)


@dataclass(frozen=True)
class Chunk:
    """A line of the table of chunks: a run of θ whose gradient is computed in one go."""

    kind: int
    line: int
    start: int
    stop: int
    first: int = 0
    count: int = 0

    def row(self, penalties: range, is_proximal: bool) -> list[int]:
        """Return the fields in the table's order."""
        return [
            self.kind, self.line, self.first, self.count, self.start, self.stop,
            penalties.start, penalties.stop, int(is_proximal),
        ]  # fmt: skip


@dataclass(frozen=True)
class Plan:
    """A step, cut."""

    stages: tuple[Stage, ...]
    n_prologue: int
    chunks: tuple[Chunk, ...]
    column_chunks: npt.NDArray[np.int64]  # (matrix start, rows, columns, first column)
    n_lines: int  # lines that run
    is_small: bool  # not worth a second thread
    most_pieces: int


def work(tape: Tape, rows: int) -> float:
    """Return the multiplications and additions of a step's matrix products."""
    return 6.0 * rows * sum(i.n_in * i.n_out for i in tape.instructions if i.op == Op.AFFINE)


def make_plan(tape: Tape, mode: Mode, rows: int, *, clips_norm: bool = False) -> Plan:
    """Cut the work of a batch of ``rows`` rows."""
    cutter = _Cutter(tape, mode, rows)
    chunks = tuple(cutter.chunks())
    stages: list[Stage] = []
    prologue = 0
    if mode in (Mode.TRAIN, Mode.APPLY) and tape.penalties:
        stages.append(cutter.over_chunks("measure_chunk", len(chunks)))
        prologue = 1
    if mode != Mode.APPLY:
        stages += cutter.passes()
    columns = cutter.column_chunks()
    if mode == Mode.SUMS:
        stages.append(cutter.over_chunks("gradient_of_chunk", len(chunks)))
    elif mode in (Mode.TRAIN, Mode.APPLY):
        stages += cutter.steps(len(chunks), len(columns), clips_norm, mode == Mode.TRAIN)
    pieces = max(stage.pieces(rows) for stage in stages)
    return Plan(tuple(stages), prologue, chunks, columns, cutter.n_lines, cutter.is_small, pieces)


@dataclass
class _Cutter:
    """What the rules look at, and the rules."""

    tape: Tape
    mode: Mode
    rows: int
    body: tuple[Instruction, ...] = field(init=False)
    n_lines: int = field(init=False)
    is_small: bool = field(init=False)

    def __post_init__(self) -> None:
        loss_reads_logits = self.tape.loss.source == self.tape.logits
        last_is_idle = self.mode == Mode.LOGITS or (self.mode != Mode.OUTPUTS and loss_reads_logits)
        self.n_lines = len(self.tape.instructions) - 1 - int(last_is_idle)
        self.body = self.tape.instructions[: self.n_lines]
        operations = work(self.tape, self.rows)
        self.is_small = (operations if self.mode.trains else operations / 3) < _SMALL_STEP

    # --- passes over rows and columns --------------------------------------------------------

    def rows_in_piece(self) -> int:
        """Return how many rows of the batch make a piece."""
        if not self.mode.trains:
            return PREDICTED_AT_ONCE  # however many there are: a row's outputs are the same
        if self.is_small:
            return _LARGE
        pieces = _MOST_PIECES
        while pieces > 1 and self.rows / pieces * work(self.tape, 1) * 2 / 3 < _PIECE:
            pieces //= 2
        return -(-self.rows // pieces)

    def is_cut_by_columns(self, line: Instruction) -> bool:
        """Whether an affine map is so wide that its pieces are columns."""
        wide = line.n_in * line.n_out >= _WIDE
        return self.mode.trains and not self.is_small and wide

    def columns_in_piece(self, width: int) -> int:
        """Return how many columns of a layer make a piece: whole vectors."""
        if self.is_small:
            return width
        return max(32, 16 * -(-width // (16 * _MOST_PIECES)))

    def passes(self) -> list[Stage]:
        """Return the stages that run the lines, out and back."""
        stages = [Stage("run_pass", self.rows_in_piece(), gather=1)]
        for number, line in enumerate(self.body):
            self._forward(stages, number, line)
        if self.mode in (Mode.OUTPUTS, Mode.LOGITS):
            return stages
        if stages[-1].axis == at.BY_COLUMNS:
            stages.append(self._by_rows((self.n_lines, self.n_lines)))
        stages[-1].with_loss = 1
        if self.mode != Mode.LOSSES:
            first = next(i for i, line in enumerate(self.body) if line.op == Op.AFFINE)
            for number in range(self.n_lines - 1, first, -1):
                self._backward(stages, number, self.body[number])
        if self.mode == Mode.TRAIN:
            stages[-1].epilogue = "look_at_loss"
        return stages

    def _by_rows(self, forward: tuple[int, int]) -> Stage:
        return Stage("run_pass", self.rows_in_piece(), forward=forward)

    def _by_columns(self, width: int, forward: tuple[int, int]) -> Stage:
        return Stage(
            "run_pass", self.columns_in_piece(width), at.BY_COLUMNS, width, forward=forward
        )

    def _forward(self, stages: list[Stage], number: int, line: Instruction) -> None:
        last = stages[-1]
        on_columns = last.axis == at.BY_COLUMNS
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
        on_columns = last.axis == at.BY_COLUMNS
        nothing = (self.n_lines, self.n_lines)
        if (line.op == Op.AFFINE and self.is_cut_by_columns(line)) or (
            line.op == Op.NORMALIZE and not on_columns
        ):
            stages.append(self._by_columns(line.n_in, nothing))
        elif on_columns and (line.op == Op.AFFINE or _needs_whole_rows(line)):
            stages.append(self._by_rows(nothing))
        last = stages[-1]
        begin = last.backward[0] if last.backward[0] >= 0 else number
        last.backward = (begin, number)

    # --- chunks ------------------------------------------------------------------------------

    def chunks(self) -> Iterator[Chunk]:
        """Yield the chunks of θ, in the order of the tape."""
        for number, line in enumerate(self.tape.instructions[:-1]):
            width = line.n_out
            if line.op == Op.AFFINE:
                count = self._rows_in_chunk(line)
                for first in range(0, line.n_in, count):
                    here = min(count, line.n_in - first)
                    start = line.weights + first * width
                    yield Chunk(at.OF_WEIGHTS, number, start, start + here * width, first, here)
                if line.bias >= 0:
                    yield Chunk(at.OF_BIAS, number, line.bias, line.bias + width)
            elif line.op == Op.NORMALIZE:
                yield Chunk(at.OF_GAMMA, number, line.weights, line.weights + width)
                yield Chunk(at.OF_BETA, number, line.bias, line.bias + width)
                yield Chunk(at.OF_STATISTICS, number, 0, 0)

    def _rows_in_chunk(self, line: Instruction) -> int:
        """Return how many rows of W make a chunk."""
        if self.is_small:
            return line.n_in
        chunks = max(1, int(2 * self.rows * line.n_in * line.n_out / _PIECE))
        return -(-line.n_in // min(chunks, 2 * _MOST_PIECES, line.n_in))

    def over_chunks(self, kernel: str, n_chunks: int, epilogue: str = "") -> Stage:
        """Return a stage over all chunks."""
        grain = n_chunks if self.is_small else 1
        return Stage(kernel, grain, at.BY_CHUNKS, n_chunks, epilogue=epilogue)

    def column_chunks(self) -> npt.NDArray[np.int64]:
        """Return the pieces of max-norm by units."""
        rows = [
            (line.weights, line.n_in, line.n_out, left)
            for line in self.tape.instructions
            if line.op == Op.AFFINE
            for left in range(0, line.n_out, 64)
        ]
        return np.array(rows, dtype=np.int64).reshape(-1, 4)

    def steps(
        self, n_chunks: int, n_columns: int, clips_norm: bool, with_gradient: bool
    ) -> list[Stage]:
        """Return the stages from the gradient to the end of the step."""
        stages = []
        if clips_norm and with_gradient:
            stages.append(self.over_chunks("gradient_of_chunk", n_chunks))
        if clips_norm:
            stages.append(self.over_chunks("entries_of_chunk", n_chunks, "gradient_scale"))
        at_once = with_gradient and not clips_norm
        stages.append(self.over_chunks("step_of_chunk" if at_once else "update_of_chunk", n_chunks))
        for number, constraint in enumerate(self.tape.constraints):
            if constraint.code == ConstraintCode.UNIT_NORM:
                stage = self.over_chunks("clip_columns", n_columns)
            else:
                stage = self.over_chunks("weights_of_chunk", n_chunks, "weights_scale")
            stage.limit = at.WEIGHT_LIMITS + number
            stages.append(stage)
            if constraint.code == ConstraintCode.TOTAL_NORM:
                stages.append(self.over_chunks("rescale_chunk", n_chunks))
        if self.tape.constraints and self.tape.penalties:
            stages.append(self.over_chunks("measure_chunk", n_chunks))
        stages[-1].epilogue = "end_step"
        return stages


def _needs_whole_rows(line: Instruction) -> bool:
    return line.op == Op.ACTIVATE and line.code == ActivationCode.SOFTMAX
