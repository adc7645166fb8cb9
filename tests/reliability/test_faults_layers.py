"""The same rules in every layer, and differences from scikit-learn that would end a fit."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import get_scorer_names, log_loss, roc_auc_score
from sklearn.model_selection import cross_val_score, train_test_split
from tests.support.faults import report

from deltarule import (
    L1,
    LBFGS,
    BatchNorm,
    BinaryCrossEntropy,
    CategoricalCrossEntropy,
    ClipNorm,
    Dense,
    Dropout,
    EarlyStopping,
    LineSearch,
    MaxNorm,
    MLPClassifier,
    MLPRegressor,
    Network,
    Rprop,
    metrics,
    train,
)
from deltarule.errors import DeltaruleError, SpecError
from deltarule.tables import Plan, prepare, read_table
from deltarule.tables.split import draw_parts

RNG = np.random.default_rng(0)
N = 60
X = RNG.normal(size=(N, 3))
TWO, THREE = (X[:, 0] > 0).astype(int), np.arange(N) % 3
SPARSE = csr_array(X)


def fit(estimator: Any, *args: Any, **kwargs: Any) -> Any:
    """Fit, without the warnings of short fits and of metrics about untrained predictions."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return estimator.fit(*args, **kwargs)


# --- F: what the upper layer refuses, the lower refuses -------------------------------------------

PLAIN = (Dense(3, "tanh"), Dense(1, "sigmoid"))
REFUSED: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    # arguments of the estimator, of the network, and of train
    "dropout": ({"dropout": 0.2}, {"layers": (PLAIN[0], Dropout(0.2), PLAIN[1])}, {}),
    "input_dropout": ({"input_dropout": 0.2}, {"layers": (Dropout(0.2), *PLAIN)}, {}),
    "batch_norm": (
        {"batch_norm": True},
        {"layers": (Dense(3, "tanh", batch_norm=BatchNorm()), PLAIN[1])},
        {},
    ),
    "l1": ({"l1": 0.1}, {"penalties": (L1(0.1),)}, {}),
    "proximal": ({"l1": 0.1}, {"penalties": (L1(0.1, proximal=True),)}, {}),
    "max_norm": ({"max_norm": 1.0}, {"constraints": (MaxNorm(1.0),)}, {}),
    "clip": ({"gradient_clip": 1.0}, {}, {"clipping": ClipNorm(1.0)}),
    "augment": ({"augment": lambda x, r, e: x}, {}, {"augment": lambda x, r, e: x}),
    "schedule": ({"learning_rate": "cosine"}, {}, {"schedule": "cosine"}),
    "checkpoint": ({"checkpoint": "folder"}, {}, {"checkpoint": "folder"}),
    "validation": ({}, {}, {"validation": (X, TWO), "stopping": EarlyStopping()}),
}


@pytest.mark.parametrize("solver", [LBFGS(), LineSearch()], ids=["lbfgs", "line_search"])
@pytest.mark.parametrize("name", REFUSED)
def test_train_refuses_for_minimisers_what_estimators_refuse(name: str, solver: Any) -> None:
    options, network, arguments = REFUSED[name]
    data = {"X_val": X, "y_val": TWO} if name == "validation" else {}
    with pytest.raises(DeltaruleError, match="solver"):
        MLPClassifier((3,), solver=solver, **options).fit(X, TWO, **data)
    net = Network(3, **({"layers": PLAIN, "loss": "binary_cross_entropy"} | network))
    with pytest.raises(DeltaruleError, match="optimizer"):
        train(net, net.initialize(0), X, TWO, optimizer=solver, epochs=2, **arguments)
    report("layers", cases=1)


def test_train_refuses_other_combinations_that_estimators_refuse() -> None:
    norm = Network(3, (Dense(3, "tanh", batch_norm=BatchNorm()), PLAIN[1]), "binary_cross_entropy")
    net = Network(3, PLAIN, "binary_cross_entropy")
    identity: Callable[..., Any] = lambda x, r, e: x  # noqa: E731
    rows = X, TWO
    cases: list[tuple[dict[str, Any], Any, Network, dict[str, Any]]] = [
        ({"solver": Rprop(), "batch_size": 8}, rows, net, {"optimizer": Rprop(), "batch_size": 8}),
        (
            {"solver": Rprop(), "learning_rate": "cosine"},
            rows,
            net,
            {"optimizer": Rprop(), "schedule": "cosine"},
        ),
        ({"batch_norm": True, "batch_size": 1}, rows, norm, {"batch_size": 1}),
        ({"batch_norm": True}, (X[:1], TWO[:1]), norm, {}),
        ({"augment": identity}, (SPARSE, TWO), net, {"augment": identity}),
    ]
    for options, data, network, arguments in cases:
        with pytest.raises(DeltaruleError) as above:
            MLPClassifier((3,), **options).fit(*data)
        with pytest.raises(DeltaruleError) as below:
            train(network, network.initialize(0), *data, **arguments)
        assert type(above.value) is type(below.value)
        report("layers", cases=1)


# --- F: label smoothing is of the training objective ----------------------------------------------


@pytest.mark.parametrize("engine", ["compiled", "reference"])
@pytest.mark.parametrize("classes", [2, 3])
def test_likelihood_and_losses_are_those_of_the_labels(classes: int, engine: str) -> None:
    y = TWO if classes == 2 else THREE
    output = Dense(1, "sigmoid") if classes == 2 else Dense(3, "softmax")
    loss = BinaryCrossEntropy(0.2) if classes == 2 else CategoricalCrossEntropy(0.2)
    net = Network(3, [Dense(4, "tanh"), output], loss)
    state, weight = net.initialize(0), RNG.uniform(0.5, 2, N)
    history = train(
        net, state, X, y, validation=(X, y, weight), optimizer="adam", epochs=3, engine=engine
    )
    p = net.predict(state, X)
    p = np.hstack([1 - p, p]) if classes == 2 else p
    rows = -np.log(p[np.arange(N), y])
    expected = log_loss(y, p, sample_weight=weight)
    np.testing.assert_allclose(net.losses(state, X, y), rows, rtol=1e-12)
    np.testing.assert_allclose(net.loss_of(state, X, y, weight), expected, rtol=1e-12)
    np.testing.assert_allclose(history.validation_loss[-1], expected, rtol=1e-12)
    total = net.log_likelihood(state, X, y)
    np.testing.assert_allclose(total, -rows.sum(), rtol=1e-12)
    criteria = metrics.information_criteria(total, net.tape.n_parameters, N)
    assert criteria.aic == pytest.approx(2 * net.tape.n_parameters + 2 * rows.sum())
    report("smoothing", cases=5)


def test_smoothing_changes_the_objective_of_training() -> None:
    """The training loss is the smoothed one: at p = 1/2 they agree, far from it they do not."""
    net = Network(3, [Dense(1, "sigmoid")], BinaryCrossEntropy(0.2))
    state = net.initialize(0)
    first = train(net, state.copy(), X, TWO, batch_size=N, epochs=1).loss[0]
    p, y = net.predict(state, X)[:, 0], 0.8 * TWO + 0.1
    assert first == pytest.approx(float(-(y * np.log(p) + (1 - y) * np.log1p(-p)).mean()))


@pytest.mark.parametrize("y", [TWO, THREE], ids=["binary", "multiclass"])
def test_validation_loss_of_estimators_is_the_log_loss(y: Any) -> None:
    model = MLPClassifier(
        (4,), early_stopping=True, monitor="loss", label_smoothing=0.2, max_iter=3, tol=0.0,
        random_state=0,
    )  # fmt: skip
    fit(model, X[:40], y[:40], X_val=X[40:], y_val=y[40:])
    expected = log_loss(y[40:], model.predict_proba(X[40:]))
    assert min(model.validation_loss_curve_) == pytest.approx(expected, rel=1e-9)
    report("smoothing", cases=1)


# --- G: rows held out -----------------------------------------------------------------------------


def test_digits_with_few_rows_a_class_train() -> None:
    """scikit-learn trains on 130 digits in 3 folds: nine rows held out, ten classes."""
    digits, labels = load_digits(return_X_y=True)
    model = MLPClassifier((4,), early_stopping=True, max_iter=2, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        assert np.isfinite(cross_val_score(model, digits[:130], labels[:130], cv=3)).all()
    report("held out", cases=1)


@pytest.mark.parametrize("labels", [np.arange(N) // 2, np.arange(N), np.r_[THREE[1:], 9]])
@pytest.mark.parametrize("fraction", [0.1, 0.5, 0.9])
def test_few_rows_a_class_are_stratified_as_nearly_as_can_be(labels: Any, fraction: float) -> None:
    from deltarule.estimators.validation_split import _draw

    parts = [_draw(N, fraction, labels, np.random.RandomState(3)) for _ in range(2)]
    training, held = parts[0]
    assert all(np.array_equal(a, b) for a, b in zip(*parts, strict=True))
    assert np.array_equal(np.sort(np.r_[training, held]), np.arange(N))
    assert len(held) == int(np.ceil(fraction * N))
    if len(held) <= N - len(np.unique(labels)):
        assert set(labels[training]) == set(labels)  # every class is trained
    counts = np.bincount(labels, minlength=labels.max() + 1)
    share = np.bincount(labels[held], minlength=len(counts)) - len(held) * counts / N
    assert np.abs(share).max() <= 1.5
    report("held out", cases=1)


def test_where_scikit_learn_stratifies_its_split_is_drawn() -> None:
    from deltarule.estimators.validation_split import _draw

    for labels in (TWO, THREE):
        ours = _draw(N, 0.2, labels, np.random.RandomState(5))
        theirs = train_test_split(
            np.arange(N), test_size=0.2, stratify=labels, random_state=np.random.RandomState(5)
        )
        assert all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True))


def test_a_table_with_a_class_of_one_row_is_learned(tmp_path: Path) -> None:
    rows = "".join(f"{i},{'xy'[i % 2]}\n" for i in range(40))
    (tmp_path / "t.csv").write_text(f"a,b\n{rows}7,z\n")
    prepare(read_table(tmp_path / "t.csv"), Plan("b"))
    labels = np.array(["x", "y"] * 20 + ["z"])
    assert draw_parts(41, (0.2, 0.2), 0, labels)[40] == 0  # type: ignore[arg-type]
    report("held out", cases=1)


# --- G: monitors ----------------------------------------------------------------------------------

KINDS: dict[str, Any] = {
    "binary": TWO,
    "multiclass": THREE,
    "texts": np.array(["b", "a", "c"])[THREE],
    "multilabel": np.column_stack([TWO, 1 - TWO, THREE > 0]).astype(int),
    "regression": np.abs(X[:, 0]),
    "targets": np.abs(X[:, :2]),
    "one class": np.zeros(N, dtype=int),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("few", [False, True])
@pytest.mark.parametrize(
    "share", [pytest.param(2, id="short"), pytest.param(1, id="full", marks=pytest.mark.long)]
)
def test_every_scorer_works_or_is_refused_before_the_first_epoch(
    kind: str, few: bool, share: int
) -> None:
    """In the short form every scorer on half of the kinds."""
    y = KINDS[kind]
    learner = MLPRegressor if kind in ("regression", "targets") else MLPClassifier
    data: dict[str, Any] = {}
    if few:  # rows of one class, or of one value of a label
        held = np.flatnonzero((y if y.ndim == 1 else y[:, 0]) == y.ravel()[0])[:8]
        held = np.arange(8) if learner is MLPRegressor else held
        data = {"X_val": X[held], "y_val": y[held]}
    for monitor in get_scorer_names()[list(KINDS).index(kind) % share :: share]:
        model = learner(
            hidden_layer_sizes=(2,), max_iter=1, random_state=0, early_stopping=True,
            monitor=monitor,
        )  # fmt: skip
        try:
            fit(model, X, y, **data)
        except SpecError as error:
            refused = str(error)
        else:
            refused = ""
        if refused:
            assert f"monitor={monitor!r} is not defined" in refused
            assert "monitor='loss'" in refused
            assert not hasattr(model, "n_iter_")
        else:
            assert len(model.validation_scores_) == 1
        report("monitors", cases=1)


@pytest.mark.parametrize("monitor", ["neg_log_loss", "neg_brier_score", "top_k_accuracy"])
@pytest.mark.parametrize("y", [THREE, KINDS["texts"]], ids=["numbers", "texts"])
def test_scores_of_probabilities_know_the_classes_that_rows_lack(monitor: str, y: Any) -> None:
    held = np.flatnonzero(y != y[0])[:15]
    model = MLPClassifier((3,), early_stopping=True, monitor=monitor, max_iter=1, random_state=0)
    fit(model, X, y, X_val=X[held], y_val=y[held])
    p, codes = model.predict_proba(X[held]), np.searchsorted(model.classes_, y[held])
    expected = {
        "neg_log_loss": np.log(p[np.arange(15), codes]).mean(),
        "neg_brier_score": -((p - np.eye(3)[codes]) ** 2).sum(axis=1).mean(),
        "top_k_accuracy": float(
            np.mean([code in np.argsort(row)[1:] for row, code in zip(p, codes, strict=True)])
        ),
    }[monitor]
    assert model.validation_scores_[0] == pytest.approx(expected, rel=1e-9)
    report("monitors", cases=1)


def test_an_area_without_a_class_names_the_class() -> None:
    held = np.flatnonzero(THREE != 1)[:12]
    for monitor in ("roc_auc_ovr", "average_precision", "roc_auc_ovo"):
        model = MLPClassifier((3,), early_stopping=True, monitor=monitor, max_iter=2)
        with pytest.raises(SpecError, match=r"lack the classes \[1\].*monitor='loss'"):
            fit(model, X, THREE, X_val=X[held], y_val=THREE[held])
    both = MLPClassifier(
        (3,), early_stopping=True, monitor="roc_auc_ovr", max_iter=1, random_state=0
    )
    fit(both, X, THREE, X_val=X, y_val=THREE)
    area = roc_auc_score(THREE, both.predict_proba(X), multi_class="ovr")
    assert both.validation_scores_ == [pytest.approx(area)]


# --- G: one class ---------------------------------------------------------------------------------


@pytest.mark.parametrize("label", [0, 7, "q"])
def test_one_class_has_the_score_and_the_onnx_graph_of_one(label: Any, tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    y = np.array([label] * N)
    model = fit(MLPClassifier((3,), early_stopping=True, max_iter=3, random_state=0), X, y)
    assert model.validation_scores_ == [1.0] * len(model.validation_scores_)
    assert model.score(X, y) == 1.0
    model.to_onnx(tmp_path / "m.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "m.onnx")
    source = session.get_inputs()[0]
    rows = X.astype(np.float32 if source.type == "tensor(float)" else np.float64)
    labels, probabilities = session.run(None, {source.name: rows})
    assert labels.tolist() == model.predict(X).tolist()
    np.testing.assert_array_equal(probabilities, model.predict_proba(X))
    report("one class", cases=1)
