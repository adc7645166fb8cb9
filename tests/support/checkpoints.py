"""Trainings of many kinds to interrupt and resume, and the results that must be the same.

As a program it is a server of forks: ``python -m support.checkpoints FOLDER NUMBER…`` trains, kills
and resumes the cases of these numbers in processes of their own, and prints a JSON line for each.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from deltarule import (
    SGD,
    Adam,
    BatchNorm,
    Checkpoint,
    Cosine,
    Dense,
    Dropout,
    EarlyStopping,
    MLPClassifier,
    MLPRegressor,
    Network,
    OneCycle,
    train,
)
from deltarule.augmentation import Compose, GaussianNoise
from deltarule.engine import engine
from deltarule.training import loop

rng = np.random.default_rng(0)
X = rng.normal(size=(120, 6))
WEIGHTS = rng.integers(1, 4, 120).astype(float)
CLASSES = rng.integers(0, 3, 120)
NUMBERS = X @ rng.normal(size=6) + 0.1 * rng.normal(size=120)

COMMON: dict[str, Any] = {
    "hidden_layer_sizes": (8, 6), "batch_size": 16, "max_iter": 6, "random_state": 3,
    "n_iter_no_change": 1000, "learning_rate_init": 0.01,
}  # fmt: skip
NOISE = Compose([GaussianNoise(0.1)], seed=4)


def cases() -> list[dict[str, Any]]:
    """Return what is trained: a kind, arguments, and what goes into fit."""
    held = {"early_stopping": True, "n_iter_no_change": 2, "max_iter": 12}
    own = {"X_val": X[:30], "y_val": NUMBERS[:30]}
    wild = {
        "solver": "sgd",
        "learning_rate_init": 1e3,
        "on_divergence": "recover",
        "momentum": 0,
        "max_iter": 12,
    }
    return [
        {"kind": "classifier", "dropout": 0.3, "input_dropout": 0.1},
        {"kind": "classifier", "batch_norm": True, "solver": "sgd", "n_threads": 2},
        {"kind": "classifier", "augment": NOISE, "standardize": True, "solver": "nadam"},
        {"kind": "classifier", "learning_rate": Cosine(1), "solver": "adamw",
         "record_health": True},
        {"kind": "regressor", **held, "monitor": "loss", "solver": "rmsprop"},
        {"kind": "regressor", "learning_rate": "adaptive", "solver": "sgd", "tol": 10.0,
         "n_iter_no_change": 1},
        {"kind": "regressor", "learning_rate": "reduce_on_plateau", "solver": "adagrad", **held,
         "fit": own},
        {"kind": "regressor", "solver": "adadelta", "learning_rate_init": 1.0, "l1": 0.01,
         "max_norm": 2.0, "dtype": "float32"},
        {"kind": "regressor", "solver": "rprop", "batch_size": "auto", "max_iter": 40},
        {"kind": "classifier", **held, "batch_norm": True, "dropout": [0.2, 0.1], "augment": NOISE,
         "learning_rate": OneCycle(), "class_weight": "balanced", "weights": True, "n_threads": 2},
        {"kind": "regressor", "sparse": True, "solver": "ema_momentum", "gradient_clip": 1.0},
        {"kind": "regressor", "learning_rate": "invscaling", "solver": "sgd", "random_state": None},
        {"kind": "regressor", **wild},
        {"kind": "classifier", "engine": "reference", "max_iter": 3, "dropout": 0.2},
        {"kind": "train", "optimizer": Adam(0.01), "stopping": EarlyStopping(patience=2)},
        {"kind": "train", "optimizer": SGD(0.05, 0.9), "augment": NOISE, "record_health": True},
    ]  # fmt: skip


def run(case: dict[str, Any], checkpoint: Any = None, **changed: Any) -> Any:
    """Train a case; return the estimator, or (state, history)."""
    given = {k: v for k, v in case.items() if k not in ("kind", "fit", "sparse", "weights")}
    given |= {"checkpoint": checkpoint, **changed}
    x, w = csr_array(X) if case.get("sparse") else X, WEIGHTS if case.get("weights") else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if case["kind"] == "train":
            net = Network(
                6, [Dense(8, "tanh", batch_norm=BatchNorm()), Dropout(keep=0.2), Dense(1)]
            )
            state = net.initialize(1)
            given = {"epochs": 6, "batch_size": 16, "seed": 2} | given
            return state, train(net, state, x, NUMBERS, validation=(x[:20], NUMBERS[:20]), **given)
        kind = MLPClassifier if case["kind"] == "classifier" else MLPRegressor
        model = kind(**(COMMON | given))
        y = CLASSES if case["kind"] == "classifier" else NUMBERS
        return model.fit(x, y, sample_weight=w, **case.get("fit", {}))


def outcome(trained: Any) -> dict[str, str]:
    """Return digests of all that a training leaves behind, part by part."""
    if isinstance(trained, tuple):
        state, history = trained
        parts: dict[str, Any] = {"history": history, "file": None, "random numbers": None}
    else:
        state, names = trained.state_, ("loss_curve_", "validation_scores_", "health_", "n_iter_",
                                        "validation_loss_curve_", "t_", "best_loss_", "loss_",
                                        "best_validation_score_")  # fmt: skip
        parts = {"history": {name: getattr(trained, name) for name in names}}
        parts["random numbers"] = trained._random_state.get_state(legacy=False)
        parts["file"] = file_of(trained)
    parts |= {
        "weights": state.theta,
        "optimiser": state.optimizer_state,
        "statistics": state.buffers,
    }
    parts["masks"] = (state.seed, state.step)
    return {name: digest(value) for name, value in parts.items()}


def file_of(model: Any) -> Any:
    from deltarule.storage import ModelRecord, encode

    given, model.augment, model.n_threads = (model.augment, model.n_threads), None, None
    data = encode(ModelRecord("estimator", *model.to_record()))
    model.augment, model.n_threads = given
    return data


def digest(value: Any) -> str:
    sha = hashlib.sha256()

    def add(item: Any) -> None:
        if isinstance(item, np.ndarray):
            sha.update(f"{item.dtype}{item.shape}".encode() + item.tobytes())
        elif isinstance(item, dict):
            for key in sorted(item):
                sha.update(key.encode())
                add(item[key])
        elif isinstance(item, list | tuple):
            sha.update(b"[")
            for one in item:
                add(one)
            sha.update(b"]")
        elif hasattr(item, "__dataclass_fields__"):
            add(vars(item))
        else:
            sha.update(item if isinstance(item, bytes) else repr(item).encode())

    add(value)
    return sha.hexdigest()


class Cut:
    """Count the looks between two calls of the interpreter, and do something at one of them."""

    def __init__(self, at: int, act: Any) -> None:
        self.at, self.act, self.looks = at, act, 0

    def __enter__(self) -> Cut:
        self._look, self._call = loop._Training._between_calls, engine._CALL
        cut = self

        def look(training: Any) -> None:
            cut._look(training)
            cut.looks += 1
            if cut.looks == cut.at:
                cut.act()

        loop._Training._between_calls = look  # type: ignore[method-assign]
        engine._CALL = 0.0  # a step a call
        return self

    def __exit__(self, *_: Any) -> None:
        loop._Training._between_calls, engine._CALL = self._look, self._call  # type: ignore[method-assign]


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def policy(folder: Any, mid_epoch: bool) -> Checkpoint:
    """Return a policy that keeps one at every look, or at every end of an epoch."""
    if mid_epoch:
        return Checkpoint(folder, every_seconds=0, keep_last=2)
    return Checkpoint(folder, every_epochs=1)


# --- a server of forks ----------------------------------------------------------------------------


def in_a_fork(work: Any) -> tuple[int, Any]:
    """Do work in a process of its own; return how it ended, and what it returned."""
    receiver, sender = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(receiver)
        code = 1
        try:
            result = json.dumps(work()).encode()
            os.write(sender, result)
            code = 0
        finally:
            os._exit(code)
    os.close(sender)
    with os.fdopen(receiver, "rb") as pipe:
        told = pipe.read()
    status = os.waitpid(child, 0)[1]
    return status, json.loads(told) if told else None


def serve(folder: Path, numbers: list[int]) -> None:
    """Kill and resume the cases of these numbers; number n means case n // 2, odd: in mid-epoch."""
    draw = np.random.default_rng(5)
    for number in numbers:
        case, mid_epoch = cases()[number // 2], bool(number % 2)
        place = folder / str(number)
        seed = np.random.mtrand._rand.get_state(legacy=False)  # where random_state=None begins

        with Cut(0, None) as cut:
            expected = outcome(run(case))
        at = int(draw.integers(2, cut.looks))

        def killed(case: Any = case, seed: Any = seed, at: int = at, mid: bool = mid_epoch,
                   place: Path = place) -> None:  # fmt: skip
            np.random.mtrand._rand.set_state(seed)
            with Cut(at, kill):
                run(case, policy(place, mid))

        status, _ = in_a_fork(killed)
        assert os.WIFSIGNALED(status), (number, status)
        left = sorted(os.listdir(place))
        threads = {} if case["kind"] == "train" else {"n_threads": 1 + number % 2}
        status, resumed = in_a_fork(
            lambda case=case, place=place, mid=mid_epoch, more=threads: outcome(
                run(case, policy(place, mid), **more)
            )
        )
        same = resumed is not None and {name: resumed[name] == expected[name] for name in expected}
        line = {"case": number, "at": at, "of": cut.looks, "left": left[-1], "same": same}
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    serve(Path(sys.argv[1]), [int(number) for number in sys.argv[2:]])
