"""The records that Python and kernels share: the same fields at the same places."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import pytest

pytest.importorskip("llvmlite")

from deltarule.engine import records
from deltarule.engine.kernels import intrinsics
from deltarule.engine.kernels.intrinsics import fast

RECORDS = {name: value for name, value in vars(records).items() if isinstance(value, np.dtype)}
NAMES = pytest.mark.parametrize("name", RECORDS)


@NAMES
def test_python_and_numpy_agree_on_every_field(name: str) -> None:
    record, structure = RECORDS[name], records.structure_of(RECORDS[name])
    assert record.fields is not None
    assert record.names is not None
    memory = np.zeros(2, record)
    for i, field in enumerate(record.names):
        memory[field] = i + 1
    for entry in range(2):
        there = structure.from_address(memory.ctypes.data + entry * record.itemsize)
        assert [getattr(there, field) for field in record.names] == [*range(1, i + 2)]
    assert ctypes.sizeof(structure) <= record.itemsize


@NAMES
def test_a_misspelt_field_is_an_error(name: str) -> None:
    record = records.structure_of(RECORDS[name])()
    with pytest.raises(AttributeError):
        record.misspelt = 1


def test_kernels_read_and_write_fields_by_name() -> None:
    instruction_at: Any = intrinsics.instruction_at
    optimizer_at: Any = intrinsics.optimizer_at

    @fast
    def kernel(instructions, optimizer):  # type: ignore[no-untyped-def]
        constants = optimizer_at(optimizer)
        constants.beta2 = 0.5 * constants.beta1
        instruction = instruction_at(instructions, 1)
        instruction.n_out = 2 * instruction.n_in
        instruction.constant = 0.25

    table, optimizer = np.zeros(3, records.INSTRUCTION), np.zeros(1, records.OPTIMIZER)
    table["n_in"], optimizer["beta1"] = [3, 4, 5], 0.8
    kernel(table.ctypes.data, optimizer.ctypes.data)
    assert table["n_out"].tolist() == [0, 8, 0]
    assert table["constant"].tolist() == [0.0, 0.25, 0.0]
    assert optimizer["beta2"].tolist() == [0.4]
