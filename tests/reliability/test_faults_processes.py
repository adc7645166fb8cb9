"""Processes and files: forks, folders that are shared or removed, permissions, memory, depth."""

from __future__ import annotations

import os
import shutil
import stat
import threading
import time
import tracemalloc
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from deltarule import L2, Checkpoint, Dense, MLPRegressor, Network
from deltarule.engine import Engine
from deltarule.errors import CheckpointError
from deltarule.network.data import make_block
from deltarule.program import Block
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
                held.write(RECORD, (0, 0), None, [])
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


@pytest.mark.parametrize("times", [10, pytest.param(200, marks=pytest.mark.long)])
def test_four_threads_that_begin_on_one_new_folder(times: int, tmp_path: Path) -> None:
    """One gets the folder; the others get the error that names the other training."""
    for k in range(times):
        start, end, said = threading.Barrier(4), threading.Barrier(4), []

        def begin(
            folder: Path = tmp_path / str(k), start: Any = start, end: Any = end, said: Any = said
        ) -> None:
            start.wait()
            try:
                with open_directory(Checkpoint(folder)) as held:
                    held.write(RECORD._replace(tensors={}), (0, 0), None, [])
                    said.append("")
                    end.wait()
                    return
            except BaseException as error:
                said.append(f"{type(error).__name__}: {error}")
            end.wait()

        threads = [threading.Thread(target=begin) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        refused = [one for one in said if one]
        assert len(refused) == 3, said
        assert all(one.startswith("CheckpointError: another training writes") for one in refused)
        assert len(os.listdir(tmp_path / str(k))) == 1
    report("processes", tried=times)


def test_four_fits_that_begin_on_one_new_folder(tmp_path: Path) -> None:
    X, y = np.arange(40.0).reshape(20, 2), np.arange(20.0)
    arguments: dict[str, Any] = {"hidden_layer_sizes": (3,), "max_iter": 20, "random_state": 0}
    start, ended = threading.Barrier(4), []

    def fit() -> None:
        model = MLPRegressor(**arguments, checkpoint=Checkpoint(tmp_path / "run", every_seconds=0))
        start.wait()
        try:
            ended.append(model.fit(X, y).state_.theta.tobytes())
        except BaseException as error:
            ended.append(error)

    threads = [threading.Thread(target=fit) for _ in range(4)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        alone = MLPRegressor(**arguments).fit(X, y).state_.theta.tobytes()
    results = [one for one in ended if isinstance(one, bytes)]
    assert results == [alone] * len(results)
    assert results
    refused = [one for one in ended if not isinstance(one, bytes)]
    assert all(isinstance(one, CheckpointError) for one in refused), refused
    assert all("another training writes" in str(one) for one in refused)
    report("processes", tried=1)


def test_memory_of_checkpoints_is_what_the_docs_say(tmp_path: Path) -> None:
    """Beyond the training itself 2 θ to write one, and a file to resume: 3 files' worth in all."""
    X, y = np.random.default_rng(0).normal(size=(200, 300)), np.arange(200.0)
    arguments: dict[str, Any] = {
        "hidden_layer_sizes": (1000,), "random_state": 0, "early_stopping": True, "batch_size": 90,
    }  # fmt: skip
    theta = 8 * (300 * 1000 + 1000 + 1000 + 1)

    def peak(checkpoint: Any, max_iter: int) -> int:
        tracemalloc.start()
        try:
            with pytest.warns(ConvergenceWarning):
                MLPRegressor(**arguments, max_iter=max_iter, checkpoint=checkpoint).fit(X, y)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    with pytest.warns(ConvergenceWarning):
        MLPRegressor(**arguments, max_iter=1).fit(X, y)  # loads the kernels
    without = peak(None, 2)
    writing = peak(Checkpoint(tmp_path, every_seconds=0), 2) - without
    size = max(path.stat().st_size for path in tmp_path.iterdir())
    resuming = peak(tmp_path, 3)
    assert writing < 2.1 * theta
    assert 9 < size / theta < 10.1
    assert resuming - without < size
    assert resuming < 3 * size
    report("processes", tried=2, files=round(resuming / size, 2))


def test_time_grows_with_the_number_of_layers_and_not_with_its_square() -> None:
    """Four times the layers: 16 times the time if anything compares all of them with all."""

    def seconds(layers: int) -> float:
        begin = time.process_time()
        net = Network(
            3, [*(Dense(3, "tanh") for _ in range(layers)), Dense(1)], penalties=[L2(0.1)]
        )
        state = net.initialize(0)
        block, _ = make_block(net, np.ones((4, 3)), np.ones(4), smoothed=True)
        assert isinstance(block, Block)
        Engine(net.tape, n_threads=1).gradient(state, block)
        return time.process_time() - begin

    seconds(10)  # loads the kernels
    few, many = (min(seconds(layers) for _ in range(2)) for layers in (500, 2000))
    assert many < 9 * few, (few, many)
    report("processes", tried=1)
