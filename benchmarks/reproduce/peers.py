"""The time of an epoch beside scikit-learn or PyTorch on the same network and batch, in turn.

A run of its own kind: nothing else runs meanwhile, every engine may use all cores, and the three
take turns over the same epochs. PyTorch takes part where it is installed. The networks are the
anchors' layers, batches and rules in the plain form that all three have: the cross-entropy of a
softmax, no penalty, no constraint; dropout behind every hidden layer.
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

TURNS = 7


@dataclass(frozen=True)
class Peer:
    """A plain network as all three can train it: hidden layers, batch, gradient descent or Adam."""

    widths: tuple[int, ...]
    batch: int
    activation: str = "relu"
    optimizer: str = "sgd"
    learning_rate: float = 0.1
    momentum: float = 0.0
    dropout: float = 0.0
    batch_norm: bool = False
    data: str = "mnist"
    rows: int = 60_000  # of which every turn is so many epochs
    epochs: int = 1
    goal: float = 0.0  # how many times faster than scikit-learn ours must be

    @property
    def plain(self) -> bool:
        """Whether scikit-learn's MLP can be this network."""
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
"""By anchor. P4 and P5 train P3's network."""


def engines_of(peer: Peer) -> dict[str, Callable[[Peer, Images], Callable[[], object]]]:
    """Return the engines here that can be this network, ours first, by what makes a turn.

    Where scikit-learn's MLP takes part, our estimator of the same arguments stands beside it.
    """
    found: dict[str, Callable[[Peer, Images], Callable[[], object]]] = {"deltarule": _ours}
    if peer.plain:
        found = {"deltarule": _our_estimator, "scikit-learn": _scikit_learn}
    if importlib.util.find_spec("torch") is not None:
        found["PyTorch"] = _pytorch
    return found


def is_timed(name: str, folder: Path) -> bool:
    """Whether a kept record is of this network and of every engine that is installed."""
    file, peer = folder / "peers" / f"{name}.json", PEERS[name]
    if not file.exists():
        return False
    record = json.loads(file.read_text(encoding="utf-8"))
    return record["peer"] == repr(peer) and engines_of(peer).keys() <= record["seconds"].keys()


def measure_peers(name: str) -> dict[str, Any]:
    """Return what 60 000 rows take every engine that can be this network.

    ``seconds`` has the median over turns. A machine's speed changes from turn to turn: ``ratios``
    has the median of an engine's time over ours in the same turn, which that hardly touches.
    """
    peer = PEERS[name]
    images = load_images(peer.data, peer.rows)
    load = os.getloadavg()[0]
    turns = {engine: make(peer, images) for engine, make in engines_of(peer).items()}
    for turn in turns.values():
        turn()  # what is compiled or loaded at first is not counted
    seconds: dict[str, list[float]] = {engine: [] for engine in turns}
    processor: dict[str, list[float]] = {engine: [] for engine in turns}
    for number in range(TURNS):
        for engine in list(turns)[:: 1 if number % 2 == 0 else -1]:
            begin, spent = time.perf_counter(), time.process_time()
            turns[engine]()
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
    """Return what trains a turn's epochs with a network of ours."""
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
    """Return what trains a turn's epochs with an estimator: ``fit`` with warm_start."""
    model = MLPClassifier(
        peer.widths, peer.activation, solver=peer.optimizer, batch_size=peer.batch, alpha=0.0,
        learning_rate_init=peer.learning_rate, momentum=peer.momentum, nesterovs_momentum=False,
        max_iter=peer.epochs, warm_start=True, random_state=0,
    )  # fmt: skip

    def turn() -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that so few epochs are not enough
            model.fit(images.X_train, images.y_train)

    return turn


def _pytorch(peer: Peer, images: Images) -> Callable[[], object]:
    """Return what trains a turn's epochs with PyTorch, eagerly, on tensors in memory."""
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

    def turn() -> None:
        for _ in range(peer.epochs):
            for rows in torch.randperm(len(X)).split(peer.batch):
                optimizer.zero_grad(set_to_none=True)
                loss_of(model(X[rows]), y[rows]).backward()
                optimizer.step()

    return turn
