"""Predictions by prepared calls: the same bits however rows are cut, and NaN is always found."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deltarule import BatchNorm, Dense, MLPClassifier, Network
from deltarule.engine import Engine, prediction
from deltarule.engine.prediction import address_of
from deltarule.engine.work_plan import rows_at_once
from deltarule.errors import DataError
from deltarule.program import Block, State
from deltarule.reference import Reference
from support.estimators import unconverged

NETS = {
    "classes": [Dense(9, "relu"), Dense(4, "softmax")],
    "labels": [Dense(33, "tanh"), Dense(3, "sigmoid")],
    "normalised": [Dense(8, "relu", batch_norm=BatchNorm()), Dense(2)],
}
LOSSES = {"classes": "categorical_cross_entropy", "labels": "binary_cross_entropy"}


def network(kind: str, dtype: str) -> tuple[Network, State]:
    loss: Any = LOSSES.get(kind, "squared_error")
    net = Network(5, NETS[kind], loss=loss, dtype=dtype)
    state = net.initialize(3)
    if net.tape.normalizations:
        width = net.tape.normalizations[0].width
        state.buffers["0.mean"] = np.linspace(-1, 1, width).astype(dtype)
        state.buffers["0.variance"] = np.linspace(0.5, 2, width).astype(dtype)
        state.buffers["0.weight"] = np.asarray(1.0)
    return net, state


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", NETS)
def test_a_row_has_the_same_bits_wherever_it_stands(
    kind: str, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    net, state = network(kind, dtype)
    rows = rows_at_once(net.tape)
    X = np.random.default_rng(0).normal(size=(3 * rows + 7, 5)).astype(dtype)
    one = Engine(net.tape, n_threads=1)
    expected = one.forward(state, Block(X))
    exact = 1e-12 if dtype == "float64" else 1e-5
    np.testing.assert_allclose(
        expected, Reference(net.tape).forward(state, Block(X)), rtol=exact, atol=exact
    )
    single = np.concatenate([one.forward(state, Block(X[i : i + 1])) for i in range(len(X))])
    assert single.tobytes() == expected.tobytes()
    monkeypatch.setenv("_DELTARULE_FORCE_THREADS", "3")
    monkeypatch.setattr(prediction, "_SMALL", 0.0)
    monkeypatch.setattr(prediction, "_PART", 1.0)
    several = Engine(net.tape)
    for n in (1, rows, rows + 1, len(X)):
        for logits in (False, True):
            found = several.forward(state, Block(X[:n]), logits=logits)
            assert found.tobytes() == one.forward(state, Block(X[:n]), logits=logits).tobytes()
    y = np.zeros((len(X), net.tape.n_outputs), dtype)
    y[:, 0] = 1
    losses = several.losses(state, Block(X, y))
    assert losses.tobytes() == one.losses(state, Block(X, y)).tobytes()
    for engine in (one, several):
        both = engine.evaluation(Block(X, y))(state)
        assert [a.tobytes() for a in both] == [expected.tobytes(), losses.tobytes()]


@given(st.integers(1, 300), st.data())
def test_a_number_that_is_not_finite_is_found_wherever_it_stands(
    n: int, data: st.DataObject
) -> None:
    net, state = network("classes", data.draw(st.sampled_from(["float32", "float64"])))
    X = np.ones((n, 5), net.dtype)
    engine = Engine(net.tape, n_threads=1)
    assert engine.forward(state, Block(X), if_finite=True) is not None
    place = data.draw(st.integers(0, n - 1)), data.draw(st.integers(0, 4))
    X[place] = data.draw(st.sampled_from([np.nan, np.inf, -np.inf]))
    assert engine.forward(state, Block(X), if_finite=True) is None
    X[place] = np.finfo(net.dtype).max  # and the next call begins anew
    assert engine.forward(state, Block(X), if_finite=True) is not None
    X[place] = np.nan
    with pytest.raises(DataError, match="NaN or infinity"):
        net.predictor(state)(X)


@pytest.mark.parametrize("odd", [np.nan, np.inf])
@pytest.mark.parametrize("rows", [1, 1000])
def test_estimators_refuse_what_is_not_finite_in_scikit_learns_words(odd: float, rows: int) -> None:
    X = np.random.default_rng(0).normal(size=(40, 4))
    with unconverged():
        model = MLPClassifier((5,), max_iter=2, standardize=True).fit(X, np.arange(40) % 3)
    given = np.ones((rows, 4))
    assert model.predict_proba(given).shape == (rows, 3)
    given[rows // 2, 1] = odd
    for method in (model.predict, model.predict_proba, model.predict_log_proba):
        with pytest.raises(ValueError, match=r"Input X contains (NaN|infinity)"):
            method(given)


def test_arrays_in_any_form_give_the_same_bits() -> None:
    net, state = network("classes", "float32")
    predict = net.predictor(state)
    X = np.random.default_rng(1).normal(size=(50, 5)).astype(np.float32)
    expected = predict(X).tobytes()
    wide = np.zeros((50, 10), np.float32)
    wide[:, ::2] = X
    view = X.view()
    view.flags.writeable = False
    swapped = X.astype(X.dtype.newbyteorder())
    for same in (X.copy("F"), wide[:, ::2], view, swapped, X.tolist(), X.astype(np.float64)):
        assert predict(same).tobytes() == expected
    assert predict(X[:0]).shape == (0, 4)


def test_a_new_theta_is_checked_and_used() -> None:
    net, state = network("classes", "float32")
    engine, X = Engine(net.tape), np.ones((3, 5), np.float32)
    before = engine.forward(state, Block(X))
    other = net.initialize(4)
    state.theta = other.theta
    assert engine.forward(state, Block(X)).tobytes() != before.tobytes()
    state.theta[...] = net.initialize(3).theta  # in place
    assert engine.forward(state, Block(X)).tobytes() == before.tobytes()
    state.theta = other.theta[:-1]
    with pytest.raises(DataError, match=r"state\.theta"):
        engine.forward(state, Block(X))


def test_many_threads_share_an_engine() -> None:
    net, state = network("labels", "float64")
    engine = Engine(net.tape)
    inputs = [np.random.default_rng(k).normal(size=(1 + 40 * k, 5)) for k in range(8)]
    expected = [Engine(net.tape).forward(state, Block(x)) for x in inputs]
    wrong: list[int] = []

    def work(k: int) -> None:
        for _ in range(50):
            if engine.forward(state, Block(inputs[k])).tobytes() != expected[k].tobytes():
                wrong.append(k)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(len(inputs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_the_address_of_an_array() -> None:
    for array in (np.zeros(3), np.zeros((4, 4))[1:, 2:], np.zeros(0), np.zeros((2, 2)).T):
        assert address_of(array) == array.ctypes.data
