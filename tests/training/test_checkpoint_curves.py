"""The curves of a checkpoint: finished parts in files of their own, as safe as the checkpoints."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deltarule import Checkpoint, Dense, MLPClassifier, MLPRegressor, Network, load, train
from deltarule.analysis.health import HEALTH_KINDS
from deltarule.errors import CheckpointError, ModelFileError
from deltarule.storage import read_model_record, write_model_record
from deltarule.training.checkpoints import curves
from deltarule.training.checkpoints.serialization import read_snapshot
from support.checkpoints import outcome
from support.estimators import data

XOR = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]), np.array([0, 1, 1, 0])


@pytest.fixture(autouse=True)
def short_tails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(curves, "_TAIL_BYTES", 400)


def trained(epochs: int, folder: Any = None, every: int = 1, **given: Any) -> Any:
    net = Network(2, [Dense(3, "tanh"), Dense(1, "sigmoid")], loss="binary_cross_entropy")
    state = net.initialize(seed=0)
    checkpoint = None if folder is None else Checkpoint(folder, every_epochs=every)
    arguments = {"batch_size": 2, "epochs": epochs, "optimizer": "adam"} | given
    return state, train(net, state, *XOR, checkpoint=checkpoint, **arguments)


def parts(folder: Path) -> list[Path]:
    return sorted(folder.glob("curves-*.safetensors"))


def newest(folder: Path) -> Path:
    return max(folder.glob("epoch-*.safetensors"))


@pytest.mark.parametrize("given", [{}, {"validation": XOR, "record_health": True}])
def test_a_training_in_parts_resumes_to_the_same_bits(tmp_path: Path, given: Any) -> None:
    expected = outcome(trained(60, **given))
    for epochs, every in ((13, 1), (14, 7), (41, 3), (60, 1)):
        resumed = trained(epochs, tmp_path, every, **given)
    assert outcome(resumed) == expected
    assert outcome(trained(60, tmp_path, **given)) == expected  # nothing is left to do
    assert len(parts(tmp_path)) >= 4


@pytest.mark.parametrize("kind", [MLPClassifier, MLPRegressor])
def test_a_fit_in_parts_resumes_to_the_same_bits(tmp_path: Path, kind: Any) -> None:
    rng = np.random.default_rng(0)
    X, arguments = rng.normal(size=(40, 3)), {
        "hidden_layer_sizes": (3,), "n_iter_no_change": 100, "random_state": 0,
        "record_health": True, "early_stopping": True,
    }  # fmt: skip
    y = (X[:, 0] > 0).astype(int)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Stochastic Optimizer")
        expected = outcome(kind(**arguments, max_iter=40).fit(X, y))
        for most in (23, 40):
            keep = Checkpoint(tmp_path, every_epochs=2)
            resumed = kind(**arguments, max_iter=most, checkpoint=keep).fit(X, y)
    assert outcome(resumed) == expected
    assert parts(tmp_path)


def test_a_fit_that_recovers_has_curves_of_its_own(tmp_path: Path) -> None:
    """Its second training begins a new history; the parts of the first one go with it."""
    X, y = data("numbers")
    ones = np.column_stack([X, np.ones(len(X))])
    arguments = {  # descent on a quadratic, which diverges above a rate of 2/λ_max
        "solver": "sgd", "momentum": 0.0, "activation": "identity", "hidden_layer_sizes": (),
        "batch_size": len(X), "shuffle": False, "alpha": 0.0, "tol": 0.0, "n_iter_no_change": 500,
        "learning_rate_init": 18 / np.linalg.eigvalsh(ones.T @ ones / len(X))[-1],
        "on_divergence": "recover", "random_state": 0,
    }  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = MLPRegressor(**arguments, max_iter=300).fit(X, y)
        diverged = int(np.flatnonzero(~np.isfinite(expected.loss_curve_))[0])
        assert 50 < diverged < 250
        for most in (diverged - 20, diverged + 20, 300):
            keep = Checkpoint(tmp_path, every_epochs=3, keep_best=False)
            model = MLPRegressor(**arguments, max_iter=most, checkpoint=keep).fit(X, y)
    assert outcome(model) == outcome(expected)
    needed = read_model_record(newest(tmp_path)).record["curves"]
    assert len(parts(tmp_path)) == 2 * len(needed)


def flipped(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("damage", [flipped, Path.unlink, lambda path: path.write_bytes(b"")])
def test_a_damaged_part_is_written_again_from_its_second_copy(tmp_path: Path, damage: Any) -> None:
    expected = outcome(trained(40))
    trained(30, tmp_path)
    for path in parts(tmp_path)[::2]:
        damage(path)
    with pytest.warns(UserWarning, match="were damaged or missing.*written again"):
        resumed = trained(40, tmp_path)
    assert outcome(resumed) == expected
    assert outcome(trained(40, tmp_path)) == expected  # without a warning


def test_without_a_sound_copy_an_older_checkpoint_is_used(tmp_path: Path) -> None:
    expected = outcome(trained(40))
    trained(12, tmp_path)  # the best checkpoint may be any of these
    kept = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    trained(30, tmp_path)
    for name, held in kept.items():
        (tmp_path / name).write_bytes(held)
    for path in parts(tmp_path):
        if path.name not in kept:
            flipped(path)
    with pytest.warns(UserWarning, match="cannot be used.*part of its curves is damaged"):
        resumed = trained(40, tmp_path)
    assert outcome(resumed) == expected
    for path in parts(tmp_path):
        flipped(path)
    with pytest.raises(CheckpointError, match=r"none of the .* checkpoints .* can be used"):
        trained(41, tmp_path)


def test_a_part_that_cannot_be_read_at_present_is_no_damage(tmp_path: Path) -> None:
    trained(30, tmp_path)
    for path in parts(tmp_path):
        path.unlink()
        path.mkdir()
    before = sorted(tmp_path.iterdir())
    with pytest.raises(CheckpointError, match="cannot be read but may be intact"):
        trained(40, tmp_path)
    assert sorted(tmp_path.iterdir()) == before


def test_a_late_checkpoint_is_no_longer_than_an_early_one(tmp_path: Path) -> None:
    sizes = []

    def note(history: Any) -> bool:
        sizes.append(newest(tmp_path).stat().st_size)
        return False

    trained(300, tmp_path, on_epoch=note)
    tail = curves._TAIL_BYTES
    assert max(sizes[-50:]) < max(sizes[5:30]) + tail + 70 * 300 * 24 / tail  # the parts' digests
    held = [read_model_record(path).tensors["history.loss"] for path in parts(tmp_path)[::2]]
    assert sum(map(len, held)) >= 280


@pytest.mark.parametrize(
    "change",
    [
        lambda part: part.record["spans"].update({"history.loss": [0, 10**9]}),
        lambda part: part.record["spans"].update({"history.loss": [1, 2]}),
        lambda part: part.record["spans"].update({"history.loss": ["a", 2]}),
        lambda part: part.record.update(more=1),
        lambda part: part.record.update(spans=[]),
        lambda part: part.tensors.update({"history.loss": np.zeros((3, 3))}),
        lambda part: part.tensors.update({"history.loss": np.zeros(3, dtype=np.float32)}),
        lambda part: part.tensors.pop("history.penalty"),
        lambda part: part.tensors.update({"history.health": np.full((17, 2, 8), np.nan)}),
        lambda part: part.tensors.pop("history.health.present"),
    ],
)
def test_forged_parts_are_refused(tmp_path: Path, change: Any) -> None:
    trained(24, tmp_path, record_health=True)
    contents = read_model_record(newest(tmp_path))
    held = {}
    for path in parts(tmp_path)[::2]:
        part = read_model_record(path)
        held[path.name.split("-")[1]] = part
    read = lambda digest: held[digest[:32]]  # noqa: E731
    assert read_snapshot(contents, HEALTH_KINDS, read).place[0] == 24
    for part in held.values():
        change(part)
    with pytest.raises(CheckpointError):
        read_snapshot(contents, HEALTH_KINDS, read)


def test_a_part_of_another_name_and_one_that_is_asked_for_as_a_model(tmp_path: Path) -> None:
    trained(30, tmp_path)
    first = parts(tmp_path)[0]
    with pytest.raises(ModelFileError, match="checkpoint"):
        load(first)
    contents = read_model_record(first)
    contents.tensors["history.loss"][0] += 1.0  # sound bytes, but not those that the digest means
    for path in parts(tmp_path):
        write_model_record(contents, path, overwrite=True)
    with pytest.raises(CheckpointError, match=r"none of the .* can be used"):
        trained(40, tmp_path)
