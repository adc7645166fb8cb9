"""Processes and files: forks, removed folders, permissions, and memory of a save."""

from __future__ import annotations

import os
import shutil
import stat
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from deltarule import Checkpoint, MLPRegressor
from deltarule.errors import CheckpointError
from deltarule.storage import ModelRecord, atomic_write, read_model_record, write_model_record
from deltarule.training.checkpoints.directory import open_directory
from support.faults import report

RECORD = ModelRecord("checkpoint", {}, {"a": np.zeros(2**20)})


def test_a_forked_child_neither_holds_the_lock_nor_writes(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    receiver, sender = os.pipe()
    with open_directory(Checkpoint(folder)) as held:
        child = os.fork()
        if child == 0:
            os.close(sender)
            try:
                held.write(RECORD, (0, 0), None)
            except CheckpointError:
                os.read(receiver, 1)  # lives on until the parent has locked the folder again
                os._exit(0)
            os._exit(1)
    with open_directory(Checkpoint(folder)):
        os.close(sender)
    assert os.waitpid(child, 0)[1] == 0
    assert list(folder.iterdir()) == []
    report("processes", tried=1)


def test_a_training_whose_folder_was_removed_stops_writing(tmp_path: Path) -> None:
    folder = tmp_path / "run"

    def augment(x: Any, rows: Any, epoch: int) -> Any:
        if epoch == 1:
            shutil.rmtree(folder)
            folder.mkdir()
        return x

    model = MLPRegressor(hidden_layer_sizes=(3,), max_iter=4, augment=augment, random_state=0,
                         checkpoint=Checkpoint(folder, every_epochs=1))  # fmt: skip
    with (
        pytest.warns(ConvergenceWarning),
        pytest.warns(UserWarning, match="was removed or replaced since this training began"),
    ):
        model.fit(np.arange(20.0).reshape(10, 2), np.arange(10.0))
    assert list(folder.iterdir()) == []
    report("processes", tried=1)


def test_permissions_precede_the_first_byte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "model"
    target.write_bytes(b"old")
    target.chmod(0o600)
    seen = []
    write = os.write

    def watching(descriptor: int, data: Any) -> int:
        seen.append(stat.S_IMODE(os.fstat(descriptor).st_mode))
        return write(descriptor, data)

    monkeypatch.setattr(atomic_write.os, "write", watching)
    write_model_record(RECORD, target, overwrite=True)
    assert set(seen) == {0o600}
    report("processes", tried=1)


def test_memory_of_a_save_and_a_load(tmp_path: Path) -> None:
    size = RECORD.tensors["a"].nbytes
    tracemalloc.start()
    try:
        write_model_record(RECORD, tmp_path / "model")
        saving = tracemalloc.get_traced_memory()[1] / size
        tracemalloc.reset_peak()
        read_model_record(tmp_path / "model")
        loading = tracemalloc.get_traced_memory()[1] / size
    finally:
        tracemalloc.stop()
    assert saving < 0.1
    assert loading < 2.1
    report("processes", tried=2, files=round(loading, 2))
