"""The memory of a run: buffers for a batch, and the tables that lead kernels to them.

Beyond the data and the state, training with batches of b rows takes, in numbers of θ's type,

    b (2 Σ widths + d + 2 k + 3) + p

and b more for every unit behind a dropout or a normalisation: contents and adjoints of the slots,
the batch's inputs and targets, and the gradient. It does not grow with the rows of the block.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from deltarule.arrays import CACHE_LINE, aligned
from deltarule.engine import layout as at
from deltarule.engine.compiler import kernel_address
from deltarule.engine.plan import Chunk, Mode, Plan
from deltarule.opcodes import ActivationCode, LossCode, Op, PenaltyCode
from deltarule.tape import Instruction, Penalty, Tape

__all__ = ["Workspace"]


@dataclass
class Normalization:
    """What a normalisation works with beside its slots."""

    batch: npt.NDArray[Any]  # μ, σ², 1/√(σ² + ε) of the batch, (3, width)
    kept: npt.NDArray[Any]  # mean and variance for prediction, (2, width)
    numbers: npt.NDArray[np.float64]  # momentum (0: the epoch's mean), weight seen, whether given


class Workspace:
    """Buffers and tables for one mode and one size of batch.

    Parameters
    ----------
    tape : Tape
        What is run.
    plan : Plan
        How it is cut.
    mode : Mode
        What for.
    rows : int
        Rows in the largest batch.
    sparse : bool
        Whether inputs are CSR.
    """

    # Places among the counters, a cache line apart: next piece, pieces done, stop, taken, step.
    STOP, TAKEN = 16, 24
    RESET: ClassVar[list[int]] = [0, 8, STOP, 32]

    def __init__(self, tape: Tape, plan: Plan, mode: Mode, rows: int, *, sparse: bool) -> None:
        self.tape, self.plan, self.mode, self.rows = tape, plan, mode, rows
        self._dtype = tape.dtype
        self._kept: list[npt.NDArray[Any]] = []  # what addresses in the tables point to
        self.normalizations: list[Normalization] = []
        self.context = self._hold(aligned(np.zeros(at.CONTEXT_FIELDS), np.int64))
        self.counters = self._hold(aligned(np.zeros(5 * CACHE_LINE // 8), np.int64))
        self.numbers = self._hold(np.zeros(at.WEIGHT_LIMITS + len(tape.constraints)))
        self.update_constants = self._hold(np.zeros(at.N_UPDATE_CONSTANTS))
        widths = {0: tape.n_inputs} | {i.target: i.n_out for i in tape.instructions[:-1]}
        self._contents = self._make_contents(widths, sparse)
        self._adjoints = self._make_adjoints(widths)
        has_gradient = mode.trains or mode == Mode.APPLY
        self.gradient = (
            aligned(np.zeros(tape.n_parameters), tape.dtype, place=3) if has_gradient else None
        )
        self.row_losses = self._numbers(rows)
        self._fill_context(sparse)
        self.address = self._address(self.context)

    # --- memory ------------------------------------------------------------------------------

    def _hold(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        self._kept.append(array)
        return array

    def _numbers(self, n: int) -> npt.NDArray[Any]:
        return self._hold(aligned(np.zeros(n), self._dtype, place=len(self._kept)))

    def _address(self, array: npt.NDArray[Any] | None) -> int:
        return 0 if array is None or array.size == 0 else int(array.ctypes.data)

    def _is_idle(self, line: Instruction, sparse: bool) -> bool:
        """Whether a dropout does nothing here: at prediction, or inside the sparse product."""
        before_first = line.target < self._first_affine().target
        return line.op == Op.DROPOUT and (not self.mode.trains or (sparse and before_first))

    def _first_affine(self) -> Instruction:
        return next(i for i in self.tape.instructions if i.op == Op.AFFINE)

    def _make_contents(self, widths: dict[int, int], sparse: bool) -> dict[int, int]:
        """Return the address of every slot; 0 is where the inputs lie."""
        found = {0: 0}
        for line in self.tape.instructions[: self.plan.n_lines]:
            if self._is_idle(line, sparse):
                found[line.target] = found[line.source]
            elif self.mode == Mode.APPLY:
                found[line.target] = 0
            else:
                found[line.target] = self._address(self._numbers(self.rows * widths[line.target]))
        return found

    def _make_adjoints(self, widths: dict[int, int]) -> dict[int, int]:
        """Return the address of every slot's adjoint, for those that have one."""
        if not self.mode.trains:
            return {}
        first, last = self._first_affine().target, self.tape.loss.source
        return {
            slot: self._address(self._numbers(self.rows * width))
            for slot, width in widths.items()
            if first <= slot <= last
        }

    # --- tables ------------------------------------------------------------------------------

    def _lines(self, sparse: bool) -> npt.NDArray[np.int64]:
        table = np.zeros((self.plan.n_lines, at.LINE_FIELDS), dtype=np.int64)
        for row, line in zip(table, self.tape.instructions, strict=False):
            self._fill_line(row, line, sparse)
        return table

    def _fill_line(self, row: npt.NDArray[np.int64], line: Instruction, sparse: bool) -> None:
        row[at.CODE] = line.code
        row[at.SOURCE], row[at.TARGET] = self._contents[line.source], self._contents[line.target]
        row[at.SOURCE_DELTA] = self._adjoints.get(line.source, 0)
        row[at.TARGET_DELTA] = self._adjoints.get(line.target, 0)
        row[at.N_IN], row[at.N_OUT] = line.n_in, line.n_out
        row[at.WEIGHTS], row[at.BIAS] = line.weights, line.bias
        if line.op == Op.NORMALIZE:
            self._fill_normalization(row, line)
        if self._is_idle(line, sparse) or self.mode == Mode.APPLY:
            return
        row[at.OP] = line.op
        forward, backward = self._kernels(line, sparse)
        row[at.FORWARD] = kernel_address(forward, self._dtype) if forward else 0
        needed = bool(backward) and self.mode.trains
        row[at.BACKWARD] = kernel_address(backward, self._dtype) if needed else 0
        if line.op in (Op.DROPOUT, Op.NORMALIZE) and self.mode.trains:
            row[at.EXTRA] = self._address(self._numbers(self.rows * line.n_out))

    def _kernels(self, line: Instruction, sparse: bool) -> tuple[str, str]:
        """Return the names of the kernels that run a line, out and back."""
        if line.op == Op.AFFINE:
            is_sparse = sparse and self._contents[line.source] == 0
            return ("sparse_forward", "sparse_gradient") if is_sparse else ("", "")
        if line.op == Op.NORMALIZE:
            trains = self.mode.trains
            forward = "normalize_forward" if trains else "normalize_with_population"
            return forward, "normalize_backward"
        if line.op == Op.DROPOUT:
            return "dropout_forward", "dropout_backward"
        name = ActivationCode(line.code).name.lower()
        backward = f"{name}_backward" if line.target in self._adjoints else ""
        return f"{name}_forward", backward

    def _fill_normalization(self, row: npt.NDArray[np.int64], line: Instruction) -> None:
        norm = self.tape.normalizations[line.code]
        batch = self._numbers(3 * norm.width).reshape(3, norm.width)
        kept = self._numbers(2 * norm.width).reshape(2, norm.width)
        numbers = self._hold(np.zeros(3))
        numbers[0] = norm.momentum if norm.running else 0.0
        self.normalizations.append(Normalization(batch, kept, numbers))
        row[at.STATISTICS], row[at.POPULATION] = self._address(batch), self._address(kept)
        row[at.SEEN] = self._address(numbers)

    def _fill_context(self, sparse: bool) -> None:
        tape, plan, c = self.tape, self.plan, self.context
        n = len(plan.chunks)
        constants = np.array([i.constant for i in tape.instructions[: plan.n_lines]])
        order = sorted(tape.penalties, key=lambda penalty: penalty.start)
        stages = [s.row(lambda name: kernel_address(name, self._dtype)) for s in plan.stages]
        for place, table in (
            (at.LINES, self._lines(sparse)),
            (at.CONSTANTS, constants),
            (at.STAGES, np.array(stages, dtype=np.int64)),
            (at.CHUNKS, self._chunks(order)),
            (at.COLUMN_CHUNKS, plan.column_chunks),
            (at.COLUMN_NORMS, self._numbers(128 * len(plan.column_chunks))),
            (at.PENALTIES, self._penalties(order)),
            (at.STRENGTHS, np.array([p.strength for p in order])),
            (at.LOSS_CONSTANTS, np.array(tape.loss_constants, dtype=np.float64)),
            (at.INPUT_DROPOUTS, self._input_dropouts()),
            (at.SQUARES, np.zeros(n)),
            (at.ABSOLUTES, np.zeros(n)),
            (at.LARGEST, np.zeros(n)),
            (at.SCALED, np.zeros(n)),
            (at.NUMBERS, self.numbers),
            (at.UPDATE_CONSTANTS, self.update_constants),
            (at.GRADIENT, self.gradient),
            (at.ROW_LOSSES, self.row_losses),
            (at.FACTOR, self._numbers(self.rows)),
            (at.SHARE, self._numbers(self.rows)),
        ):
            c[place] = self._address(None if table is None else self._hold(table))
        c[at.N_STAGES], c[at.N_PROLOGUE] = len(plan.stages), plan.n_prologue
        c[at.N_CHUNKS], c[at.N_PENALTIES] = n, len(tape.penalties)
        c[at.N_INPUTS], c[at.N_OUTPUTS] = tape.n_inputs, tape.n_outputs
        c[at.N_LOSS_CONSTANTS] = len(tape.loss_constants)
        c[at.N_INPUT_DROPOUTS] = len(self._input_dropouts()) // 2 if self.mode.trains else 0
        c[at.TOTALS] = self.mode == Mode.SUMS
        for i, place in enumerate((at.NEXT, at.DONE, at.STOP, at.TAKEN, at.STEP)):
            c[place] = self._address(self.counters) + i * CACHE_LINE
        loss = tape.loss
        if self.mode in (Mode.TRAIN, Mode.SUMS, Mode.LOSSES):
            name = f"{LossCode(loss.code).name.lower()}_loss"
            c[at.LOSS_KERNEL] = kernel_address(name, self._dtype)
            c[at.LOSS_SOURCE] = self._contents[loss.source]
            c[at.LOSS_DELTA] = self._adjoints.get(loss.source, 0)
            c[at.BATCH_Y] = self._address(self._numbers(self.rows * tape.n_outputs))
        output = tape.logits if self.mode == Mode.LOGITS else tape.output
        c[at.OUTPUT_SLOT] = self._contents.get(output, 0)
        for number, constraint in enumerate(tape.constraints):
            self.numbers[at.WEIGHT_LIMITS + number] = constraint.limit

    def make_room_for_inputs(self) -> None:
        """Make the buffer into which a batch's inputs are copied, unless it is there."""
        if self.context[at.BATCH_X] == 0:
            room = self._numbers(self.rows * self.tape.n_inputs)
            self.context[at.BATCH_X] = self._address(room)

    def _penalties(self, order: list[Penalty]) -> npt.NDArray[np.int64]:
        """Return the penalties, those of a parameter side by side."""
        rows = []
        for penalty in order:
            inside = [i for i, chunk in enumerate(self.plan.chunks) if _covers(penalty, chunk)]
            rows.append((penalty.code, int(penalty.per_batch), inside[0], inside[-1] + 1))
        return np.array(rows, dtype=np.int64).reshape(-1, at.PENALTY_FIELDS)

    def _chunks(self, order: list[Penalty]) -> npt.NDArray[np.int64]:
        rows = []
        for chunk in self.plan.chunks:
            here = [j for j, penalty in enumerate(order) if _covers(penalty, chunk)]
            is_proximal = any(order[j].code == PenaltyCode.PROXIMAL_L1 for j in here)
            which = range(here[0], here[-1] + 1) if here else range(0)
            rows.append(chunk.row(which, is_proximal))
        return np.array(rows, dtype=np.int64)

    def _input_dropouts(self) -> npt.NDArray[np.float64]:
        first = self._first_affine().target
        pairs = [
            (line.constant, float(line.code))
            for line in self.tape.instructions
            if line.op == Op.DROPOUT and line.target < first
        ]
        return np.array(pairs, dtype=np.float64).ravel()


def _covers(penalty: Penalty, chunk: Chunk) -> bool:
    """Whether a penalty speaks of a chunk."""
    inside = penalty.start <= chunk.start and chunk.stop <= penalty.stop
    return inside and chunk.kind == at.OF_WEIGHTS
