"""Time of an epoch of deltarule, scikit-learn and PyTorch on the same network and batch size.

Nothing else runs during the measurement, every engine may use all cores, and the three are measured
alternately over the same epochs. PyTorch is measured if it is installed. The networks have the
anchors' layers, batch sizes and optimisers in the plain form that all three support: softmax with
cross-entropy, no penalty, no constraint, dropout after every hidden layer.
"""

from __future__ import annotations

import importlib.util
import json
import os
import statistics
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from reproduce.images import Images, load_images

__all__ = ["PEERS", "Peer", "is_timed", "measure_peers"]

ROUNDS = 7


@dataclass(frozen=True)
class Peer:
    """A plain network that all three can train: hidden layers, batch size, optimiser."""

    widths: tuple[int, ...]
    batch: int
    activation: str = "relu"
    optimizer: str = "sgd"
    learning_rate: float = 0.1
    momentum: float = 0.0
    dropout: float = 0.0
    batch_norm: bool = False
    data: str = "mnist"
    rows: int = 60_000  # training rows; a repetition is ``epochs`` passes over them
    epochs: int = 1
    goal: float = 0.0  # required speed relative to scikit-learn

    @property
    def plain(self) -> bool:
        """Whether scikit-learn's MLP can represent this network."""
        return not self.dropout and not self.batch_norm


PEERS = {
    "P1": Peer((30,), 10, "logistic", learning_rate=3.0, rows=20_000),
    "P2": Peer((100,), 10, "logistic", rows=20_000),
    "P3": Peer((800,), 100, momentum=0.9, rows=20_000),
    "P6": Peer((1024,) * 3, 100, dropout=0.5, momentum=0.95, learning_rate=0.03, rows=6_000),
    "P7": Peer((1000,) * 5, 10, "tanh", learning_rate=0.02, rows=1_000),
    "P8": Peer((100,), 200, optimizer="adam", learning_rate=0.001, data="fashion-mnist"),
    "P9": Peer(
        (256, 128, 64), 100, optimizer="adam", learning_rate=0.001, dropout=0.2,
        data="fashion-mnist", rows=20_000,
    ),
    "P10": Peer((100, 100), 200, optimizer="adam", learning_rate=0.001, epochs=5, goal=3.0),
    "P11": Peer((100,) * 3, 60, "logistic", batch_norm=True, rows=20_000),
    "P12": Peer((1000, 1000), 128, optimizer="adam", learning_rate=0.001, dropout=0.5, rows=6_000),
}  # fmt: skip
"""Networks by anchor; P4 and P5 train P3's network."""


def engines_of(peer: Peer) -> dict[str, Callable[[Peer, Images], Callable[[], object]]]:
    """Return the installed engines that can train this network, ours first.

    If scikit-learn's MLP is measured, ours is the estimator with the same arguments.
    """
    found: dict[str, Callable[[Peer, Images], Callable[[], object]]] = {"deltarule": _ours}
    if peer.plain:
        found = {"deltarule": _our_estimator, "scikit-learn": _scikit_learn}
    if importlib.util.find_spec("torch") is not None:
        found["PyTorch"] = _pytorch
    return found


def is_timed(name: str, folder: Path) -> bool:
    """Return whether a saved record covers this network and every installed engine."""
    file, peer = folder / "peers" / f"{name}.json", PEERS[name]
    if not file.exists():
        return False
    record = json.loads(file.read_text(encoding="utf-8"))
    return record["peer"] == repr(peer) and engines_of(peer).keys() <= record["seconds"].keys()


def measure_peers(name: str) -> dict[str, Any]:
    """Return the time of 60 000 rows for every engine that can train this network.

    ``seconds`` has the median over rounds. Because the machine's speed varies from round to round,
    ``ratios`` has the median of an engine's time divided by ours in the same round.
    """
    peer = PEERS[name]
    images = load_images(peer.data, peer.rows)
    load = os.getloadavg()[0]
    repetitions = {engine: make(peer, images) for engine, make in engines_of(peer).items()}
    for repetition in repetitions.values():
        repetition()  # the first one may compile and is not counted
    seconds: dict[str, list[float]] = {engine: [] for engine in repetitions}
    processor: dict[str, list[float]] = {engine: [] for engine in repetitions}
    for number in range(ROUNDS):
        for engine in list(repetitions)[:: 1 if number % 2 == 0 else -1]:
            begin, spent = time.perf_counter(), time.process_time()
            repetitions[engine]()
            seconds[engine].append(time.perf_counter() - begin)
            processor[engine].append(time.process_time() - spent)
    scale = 60_000 / len(images.X_train) / peer.epochs
    return {
        "anchor": name,
        "peer": repr(peer),
        "seconds": {k: scale * statistics.median(v) for k, v in seconds.items()},
        "ratios": {
            k: statistics.median(a / b for a, b in zip(v, seconds["deltarule"], strict=True))
            for k, v in seconds.items()
        },
        "processor_seconds": {k: scale * statistics.median(v) for k, v in processor.items()},
        "rows": len(images.X_train),
        "load_average": [load, os.getloadavg()[0]],
        "ended": time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime()),
    }


def _ours(peer: Peer, images: Images) -> Callable[[], object]:
    """Return a function that trains a repetition's epochs with our ``train``."""
    from deltarule import SGD, Adam, BatchNorm, Dense, Dropout, Network, train

    activation = {"logistic": "sigmoid"}.get(peer.activation, peer.activation)
    norm = BatchNorm() if peer.batch_norm else None
    layers: list[Any] = []
    for width in peer.widths:
        layers.append(Dense(width, activation, batch_norm=norm))
        layers += [Dropout(peer.dropout)] if peer.dropout else []
    net = Network(784, [*layers, Dense(10, "softmax")], "categorical_cross_entropy",
                  dtype="float32")  # fmt: skip
    state = net.initialize(0)
    optimizer = (
        Adam(peer.learning_rate)
        if peer.optimizer == "adam"
        else SGD(peer.learning_rate, peer.momentum)
    )
    return lambda: train(
        net, state, images.X_train, images.y_train, optimizer=optimizer, batch_size=peer.batch,
        epochs=peer.epochs,
    )  # fmt: skip


def _our_estimator(peer: Peer, images: Images) -> Callable[[], object]:
    from deltarule import MLPClassifier

    return _fits(MLPClassifier, peer, images)


def _scikit_learn(peer: Peer, images: Images) -> Callable[[], object]:
    from sklearn.neural_network import MLPClassifier

    return _fits(MLPClassifier, peer, images)


def _fits(MLPClassifier: Any, peer: Peer, images: Images) -> Callable[[], object]:
    """Return a function that trains a repetition's epochs with an estimator (warm start)."""
    model = MLPClassifier(
        peer.widths, peer.activation, solver=peer.optimizer, batch_size=peer.batch, alpha=0.0,
        learning_rate_init=peer.learning_rate, momentum=peer.momentum, nesterovs_momentum=False,
        max_iter=peer.epochs, warm_start=True, random_state=0,
    )  # fmt: skip

    def repetition() -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # ConvergenceWarning
            model.fit(images.X_train, images.y_train)

    return repetition


def _pytorch(peer: Peer, images: Images) -> Callable[[], object]:
    """Return a function that trains a repetition's epochs with PyTorch on tensors in memory."""
    import torch
    from torch import nn

    kinds = {"relu": nn.ReLU, "tanh": nn.Tanh, "logistic": nn.Sigmoid}
    layers: list[Any] = []
    before = 784
    for width in peer.widths:
        layers.append(nn.Linear(before, width))
        layers += [nn.BatchNorm1d(width)] if peer.batch_norm else []
        layers.append(kinds[peer.activation]())
        layers += [nn.Dropout(peer.dropout)] if peer.dropout else []
        before = width
    model = nn.Sequential(*layers, nn.Linear(before, 10))
    if peer.optimizer == "adam":
        optimizer: Any = torch.optim.Adam(model.parameters(), peer.learning_rate)
    else:
        optimizer = torch.optim.SGD(model.parameters(), peer.learning_rate, peer.momentum)
    loss_of = nn.CrossEntropyLoss()
    X, y = torch.from_numpy(images.X_train), torch.from_numpy(images.y_train.astype(np.int64))

    def repetition() -> None:
        for _ in range(peer.epochs):
            for rows in torch.randperm(len(X)).split(peer.batch):
                optimizer.zero_grad(set_to_none=True)
                loss_of(model(X[rows]), y[rows]).backward()
                optimizer.step()

    return repetition
