"""The memory of a call: buffers for one batch, and the tables that lead kernels to them.

In addition to data and state, training with batches of b rows takes, in numbers of θ's type,

    b (2 Σ widths + d + 2 k + 3) + p

and b more for every unit of a dropout or a normalisation: the registers and their derivatives, the
batch's inputs and targets, and the gradient. It does not grow with the number of rows of the data.
With members, all widths but d are those of all members together.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from deltarule.engine.compiler import caller, kernel_address
from deltarule.engine.records import (
    CONTEXT,
    COUNTERS,
    INPUT_DROPOUT,
    INSTRUCTION,
    OF_WEIGHTS,
    OPTIMIZER,
    PARAMETER_BLOCK,
    PENALTY,
    POPULATION,
    STAGE,
    structure_of,
)
from deltarule.engine.thread_pool import run_together
from deltarule.engine.work_plan import Mode, ParameterBlock, WorkPlan
from deltarule.program.opcodes import ActivationCode, LossCode, Op, PenaltyCode
from deltarule.program.tape import Instruction, Penalty, Tape
from deltarule.utils.addresses import address_of
from deltarule.utils.arrays import aligned_zeros

__all__ = ["Buffers", "NormalizationBuffers"]

_OF_GROUPS = (Op.PERIODIC, Op.BLOCKS)
_IN_PLACE = (Op.ACTIVATE, Op.SCALE, Op.DROPOUT)  # ∂C/∂input takes the memory of ∂C/∂output

_NEVER = 2**62  # a step that no call reaches
_SCRATCH = 2**16  # numbers in a thread's own memory, at least: they fit into its second cache

_KERNELS: dict[int, tuple[str, str, str]] = {
    Op.DROPOUT: ("dropout_forward", "dropout_backward", ""),
    Op.SCALE: ("scale_forward", "scale_backward", ""),
    Op.REPEAT: ("repeat_forward", "", ""),
    Op.HEADS: ("heads_forward", "heads_backward", "heads_gradient"),
    Op.AVERAGE: ("average_forward", "", ""),
    Op.PERIODIC: ("periodic_forward", "periodic_backward", ""),
    Op.BLOCKS: ("blocks_forward", "blocks_backward", "blocks_gradient"),
}
"""The kernels of an operation, if they depend on nothing else."""


@dataclass
class NormalizationBuffers:
    """The arrays of one normalisation, except its registers."""

    batch: npt.NDArray[Any]  # μ, σ², 1/√(σ² + ε) of the batch, (3, width)
    population_moments: npt.NDArray[Any]  # mean and variance for prediction, (2, width)
    population: Any  # the record POPULATION
    epsilon: float


class Buffers:
    """Buffers and tables for one mode and one batch size.

    Parameters
    ----------
    tape : Tape
        What is run.
    plan : WorkPlan
        How it is cut.
    mode : Mode
        What the call is for.
    rows : int
        Rows in the largest batch.
    sparse : bool
        Whether inputs are CSR.
    n_threads : int, default=1
        The most threads that will work on a batch.
    n_shards : int, default=0
        Into how many shards a batch is cut; 0 means that it is not.
    """

    def __init__(
        self,
        tape: Tape,
        plan: WorkPlan,
        mode: Mode,
        rows: int,
        *,
        sparse: bool,
        n_threads: int = 1,
        n_shards: int = 0,
    ) -> None:
        self.tape, self.plan, self.mode, self.rows = tape, plan, mode, rows
        self.sparse = sparse
        self._dtype = tape.dtype
        self._held: list[npt.NDArray[Any]] = []  # the arrays to which addresses point
        self.normalizations: list[NormalizationBuffers] = []
        self.context, self.address = self._record(CONTEXT)
        self.counters, self._counters_at = self._record(COUNTERS)
        self.optimizer, optimizer_at = self._record(OPTIMIZER)
        self.context.optimizer = optimizer_at
        widths = {0: tape.n_inputs} | {i.target: i.n_out for i in tape.instructions[:-1]}
        self._registers = self._make_registers(widths, sparse)
        self._deltas = self._make_deltas(widths)
        has_gradient = mode.trains or mode == Mode.APPLY
        self.gradient = (
            aligned_zeros(tape.n_parameters, tape.dtype, place=3) if has_gradient else None
        )
        self.row_losses = self._numbers(rows * tape.members)
        self.factor = self._numbers(rows * tape.members)
        self._flags: npt.NDArray[np.int64] | None = None  # of the threads' areas
        self._shares: npt.NDArray[np.int64] | None = None  # of the tiles: what is taken of them
        self._fill_tables(sparse)
        self._fill_context()
        self.call = caller(tape.dtype, self.address)
        if n_shards > 0:
            self._allocate_shards(n_shards)
        if tape.instructions[0].op == Op.EXPAND and mode != Mode.APPLY:
            self._allocate_scratch(n_threads)

    # --- memory ------------------------------------------------------------------------------

    def _hold(self, array: npt.NDArray[Any]) -> int:
        """Keep an array for as long as these buffers live; return its address, or 0 if empty."""
        self._held.append(array)
        return address_of(array) if array.size > 0 else 0

    def _numbers(self, n: int) -> npt.NDArray[Any]:
        """Return n zeros of θ's type."""
        array: npt.NDArray[Any] = aligned_zeros(n, self._dtype, place=len(self._held))
        self._hold(array)
        return array

    def _record(self, kind: np.dtype[Any]) -> tuple[Any, int]:
        """Return one record of zeros on a cache line of its own, and its address."""
        address = self._hold(aligned_zeros(kind.itemsize // 8, np.int64))
        return structure_of(kind).from_address(address), address

    def _make_registers(self, widths: dict[int, int], sparse: bool) -> dict[int, int]:
        """Return the address of every register; 0 stands for the inputs, wherever they are."""
        found = {0: 0}
        for line in self.tape.instructions[: self.plan.n_instructions]:
            if self._is_idle(line, sparse):
                found[line.target] = found[line.source]
            elif self.mode == Mode.APPLY:
                found[line.target] = 0
            else:
                register = self._numbers(self.rows * widths[line.target])
                found[line.target] = address_of(register)
        return found

    def _make_deltas(self, widths: dict[int, int]) -> dict[int, int]:
        """Return the address of ∂C/∂register, for the registers that need it."""
        if not self.mode.trains:
            return {}
        first, last = self.tape.first_trained.target, self.tape.loss.source
        found: dict[int, int] = {}
        for register in range(last, first - 1, -1):
            reader = self.tape.instructions[register]  # instruction i writes register i + 1
            if register < last and reader.op in _IN_PLACE:
                found[register] = found[reader.target]
            else:
                found[register] = address_of(self._numbers(self.rows * widths[register]))
        return found

    def _is_idle(self, line: Instruction, sparse: bool) -> bool:
        """Whether a dropout does nothing: at prediction, or as part of the sparse product."""
        before_first = line.target < self._entry().target
        return line.op == Op.DROPOUT and (not self.mode.trains or (sparse and before_first))

    def _entry(self) -> Instruction:
        """Return the instruction that reads the inputs, or what a dropout leaves of them."""
        return next(line for line in self.tape.instructions if line.op != Op.DROPOUT)

    # --- tables ------------------------------------------------------------------------------

    def _fill_tables(self, sparse: bool) -> None:
        """Write the tables, and their addresses into the context."""
        c, plan, n = self.context, self.plan, len(self.plan.blocks)
        penalties = sorted(self.tape.penalties, key=lambda penalty: penalty.start)
        stages = [s.record(lambda name: kernel_address(name, self._dtype)) for s in plan.stages]
        c.instructions = self._hold(self._instructions(sparse))
        c.stages, c.n_stages = self._hold(np.array(stages, STAGE)), len(stages)
        c.n_prologue = plan.n_prologue
        on_blocks = _penalties_of_blocks(plan.blocks, penalties)
        c.blocks, c.n_blocks = self._hold(self._blocks(penalties, on_blocks)), n
        c.penalties = self._hold(self._penalties(penalties, on_blocks))
        c.n_penalties = len(penalties)
        c.column_blocks = self._hold(plan.column_blocks)
        c.column_norms = self._hold(self._numbers(128 * len(plan.column_blocks)))
        dropouts = self._input_dropouts()
        c.input_dropouts = self._hold(dropouts)
        c.n_input_dropouts = len(dropouts) if self.mode.trains else 0
        c.squares, c.absolutes, c.largest, c.scaled_squares = (
            self._hold(np.zeros(n)) for _ in range(4)
        )

    def _instructions(self, sparse: bool) -> npt.NDArray[Any]:
        table = np.zeros(self.plan.n_instructions, INSTRUCTION)
        for row, line in zip(table, self.tape.instructions, strict=False):
            self._fill_instruction(row, line, sparse)
        return table

    def _fill_instruction(self, row: Any, line: Instruction, sparse: bool) -> None:
        row["code"], row["constant"] = line.code, line.constant
        row["input"] = self._registers[line.source]
        row["output"] = self._registers[line.target]
        row["input_delta"] = self._deltas.get(line.source, 0)
        row["output_delta"] = self._deltas.get(line.target, 0)
        row["members"], row["n_in"], row["n_out"] = self._widths(line)
        row["weights"], row["bias"] = line.weights, line.bias
        if line.op == Op.NORMALIZE:
            self._fill_normalization(row, line)
        if self._is_idle(line, sparse) or self.mode == Mode.APPLY:
            return
        row["op"] = line.op
        reads_sparse = sparse and self._registers[line.source] == 0
        forward, backward, gradient = self._kernels(line, reads_sparse)
        if forward:
            row["forward"] = kernel_address(forward, self._dtype)
        if backward and self.mode.trains:
            row["backward"] = kernel_address(backward, self._dtype)
        if gradient and self.mode.trains:
            row["gradient"] = kernel_address(gradient, self._dtype)
        if line.op in (Op.DROPOUT, Op.NORMALIZE) and self.mode.trains:
            row["extra"] = address_of(self._numbers(self.rows * line.n_out))
        parametric = line.op == Op.ACTIVATE and line.weights >= 0
        if parametric:
            row["extra"] = address_of(self._numbers(self.rows * line.n_out))
            row["kept"] = address_of(self._numbers(self.rows * line.n_out))
        if line.op in _OF_GROUPS:
            self._fill_groups(row, line)
        if parametric or line.op in (Op.SCALE, *_OF_GROUPS):
            if reads_sparse:
                row["extra"] = address_of(self._numbers(self.rows * line.n_in))
            if self.mode.trains:
                row["rows_in_tile"] = self.plan.rows_in_tile
                n_tiles = -(-self.rows // self.plan.rows_in_tile)
                row["tile_sums"] = address_of(self._numbers(2 * n_tiles * line.n_out))

    def _fill_groups(self, row: Any, line: Instruction) -> None:
        """Write the groups of columns, and the runs of the others."""
        groups = self.tape.groups[line.code]
        begins = np.cumsum([0, *groups.sizes])
        table = [
            number
            for (start, stop), begin in zip(groups.spans, begins, strict=False)
            for number in (start, stop - start, int(begin))
        ]
        edges = [0, *(edge for span in groups.spans for edge in span), line.n_in]
        runs = [(a, b - a) for a, b in zip(edges[::2], edges[1::2], strict=True) if b > a]
        table += [number for run in runs for number in run]
        row["groups"] = self._hold(np.array(table, dtype=np.int64))
        row["n_groups"], row["n_runs"] = len(groups.spans), len(runs)
        row["n_ahead"] = sum(count for _, count in runs)

    def _widths(self, line: Instruction) -> tuple[int, int, int]:
        """Return how many members a kernel tells apart, and their n_in and n_out."""
        plain = (Op.SCALE, Op.DROPOUT, Op.NORMALIZE, *_OF_GROUPS)
        k = 1 if line.op in plain else self.tape.members
        n_in = line.n_in if line.op in (Op.REPEAT, Op.EXPAND) else line.n_in // k
        return k, n_in, line.n_out if line.op == Op.AVERAGE else line.n_out // k

    def _kernels(self, line: Instruction, reads_sparse: bool) -> tuple[str, str, str]:
        """Return the names of an instruction's kernels: forward, backward, weights' gradient."""
        if line.op == Op.AFFINE:
            return ("sparse_forward", "", "sparse_gradient") if reads_sparse else ("", "", "")
        if line.op == Op.NORMALIZE:
            trains = self.mode.trains
            forward = "normalize_forward" if trains else "normalize_with_population"
            return forward, "normalize_backward", ""
        if line.op == Op.EXPAND:
            kind = "sparse_expand" if reads_sparse else "expand"
            return f"{kind}_forward", "", f"{kind}_gradient"
        if line.op in _KERNELS:
            return _KERNELS[line.op]
        name = ActivationCode(line.code).name.lower()
        backward = f"{name}_backward" if line.target in self._deltas else ""
        return f"{name}_forward", backward, ""

    def _fill_normalization(self, row: Any, line: Instruction) -> None:
        norm = self.tape.normalizations[line.code]
        batch = self._numbers(3 * norm.width).reshape(3, norm.width)
        moments = self._numbers(2 * norm.width).reshape(2, norm.width)
        population, row["population"] = self._record(POPULATION)
        population.momentum = norm.momentum if norm.running else 0.0
        row["statistics"], row["population_statistics"] = address_of(batch), address_of(moments)
        self.normalizations.append(NormalizationBuffers(batch, moments, population, line.constant))

    def _blocks(self, penalties: list[Penalty], on_blocks: list[range]) -> npt.NDArray[Any]:
        """Return the table of parameter blocks."""
        records = []
        for block, which in zip(self.plan.blocks, on_blocks, strict=True):
            is_proximal = any(penalties[j].code == PenaltyCode.PROXIMAL_L1 for j in which)
            records.append(block.record(which, is_proximal))
        return np.array(records, PARAMETER_BLOCK)

    def _penalties(self, penalties: list[Penalty], on_blocks: list[range]) -> npt.NDArray[Any]:
        """Return the table of penalties, those of one parameter side by side."""
        inside: list[list[int]] = [[] for _ in penalties]
        for i, which in enumerate(on_blocks):
            for j in which:
                inside[j].append(i)
        records = [
            (penalty.code, penalty.per_batch, blocks[0], blocks[-1] + 1, penalty.strength)
            for penalty, blocks in zip(penalties, inside, strict=True)
        ]
        return np.array(records, PENALTY)

    def _input_dropouts(self) -> npt.NDArray[Any]:
        first = self._entry().target
        records = [
            (line.constant, line.code)
            for line in self.tape.instructions
            if line.op == Op.DROPOUT and line.target < first
        ]
        return np.array(records, INPUT_DROPOUT)

    # --- the context -------------------------------------------------------------------------

    def _fill_context(self) -> None:
        """Write what the context contains in addition to the tables."""
        tape, c, loss = self.tape, self.context, self.tape.loss
        c.gradient = 0 if self.gradient is None else self._hold(self.gradient)
        c.row_losses, c.factor = address_of(self.row_losses), address_of(self.factor)
        c.share = address_of(self._numbers(self.rows))
        c.n_inputs, c.n_outputs, c.members = tape.n_inputs, tape.n_outputs, tape.members
        c.sums_rows = int(self.mode == Mode.SUMS)
        c.loss_constants = self._hold(np.array(tape.loss_constants, dtype=np.float64))
        c.n_loss_constants = len(tape.loss_constants)
        assert COUNTERS.fields is not None
        for name, (_, offset, *_) in COUNTERS.fields.items():
            setattr(c, name, self._counters_at + offset)
        if self.mode.trains or self.mode in (Mode.LOSSES, Mode.EVALUATION):
            name = f"{LossCode(loss.code).name.lower()}_loss"
            c.loss_kernel = kernel_address(name, self._dtype)
            c.loss_input = self._registers[loss.source]
            c.loss_delta = self._deltas.get(loss.source, 0)
            numbers = self.rows * tape.members * tape.n_outputs
            c.batch_y = address_of(self._numbers(numbers))
        output = tape.logits if self.mode == Mode.LOGITS else tape.output
        c.output_width = tape.n_outputs * (tape.members if self.mode == Mode.LOGITS else 1)
        c.output_register = self._registers.get(output, 0)

    def _allocate_shards(self, count: int) -> None:
        """Allocate what the sums of shards wait in; sums over rows are those of one shard."""
        c, levels = self.context, count.bit_length()  # one more than the tree needs, for CSR
        c.n_parameters = self.tape.n_parameters
        c.n_shards = {Mode.TRAIN: count, Mode.SUMS: 1}.get(self.mode, 0)
        c.shard_losses = self._hold(np.zeros(64))
        if self.mode == Mode.TRAIN:
            c.shard_gradients = self._numbers(levels * self.tape.n_parameters).ctypes.data

    def _allocate_scratch(self, n_threads: int) -> None:
        """Allocate an area for every thread: scaled inputs, or a member's gradient (EXPAND)."""
        line, c = self.tape.instructions[0], self.context
        k = self.tape.members
        c.scratch_size = max(_SCRATCH, k * line.n_in, line.n_out // k)
        c.n_scratch = 1 if self.plan.is_small else max(1, min(n_threads, self.plan.most_tiles))
        c.scratch = address_of(self._numbers(c.n_scratch * c.scratch_size))
        self._flags = np.zeros(8 * c.n_scratch, dtype=np.int64)
        c.scratch_flags = self._hold(self._flags)

    def run(self, step: int, threads: int, call: Callable[[], None] | None = None) -> None:
        """Call the driver on this many threads; ``step`` is the state's, for dropout's masks.

        ``call`` is another call on the same context, for one thread.
        """
        if self._flags is not None:  # all areas are free, whatever happened to the last call
            self._flags[:] = 0
        counters = self.counters
        counters.n_entered = counters.tiles_done = 0
        counters.stop, counters.state_step = _NEVER, step
        self.context.n_threads = threads
        if threads > 1:
            self._share_tiles(threads)
            run_together(self.call, threads)
        else:
            (call or self.call)()

    def _share_tiles(self, threads: int) -> None:
        """Set to 0 what is taken of each thread's share."""
        if self._shares is None or self._shares.size < 16 * threads:
            self._shares = aligned_zeros(16 * threads, np.int64)
            self.context.shares = address_of(self._shares)
        self._shares[:] = 0

    def allocate_batch_inputs(self) -> None:
        """Allocate the buffer into which a batch's inputs are copied, unless it exists."""
        if self.context.batch_x == 0:
            self.context.batch_x = address_of(self._numbers(self.rows * self.tape.n_inputs))


def _penalties_of_blocks(
    blocks: tuple[ParameterBlock, ...], penalties: list[Penalty]
) -> list[range]:
    """Return which penalties apply to each block, as places in the list, which is sorted by start.

    Penalties cover whole parameters, so those of a block lie side by side in the list.
    """
    starts = [penalty.start for penalty in penalties]
    found = []
    for block in blocks:
        first = last = bisect_right(starts, block.start) if block.kind == OF_WEIGHTS else 0
        while first > 0 and penalties[first - 1].stop >= block.stop:
            first -= 1
        found.append(range(first, last))
    return found
