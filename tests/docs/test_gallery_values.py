"""What the examples of the gallery compute, against closed forms and scikit-learn.

Those of test_demonstrations.py are the examples with tests of their own for every item.
"""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LinearRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import KFold, cross_val_score

from deltarule import ClipNorm, EarlyStopping
from support.examples import example


def test_slopes_are_those_of_the_values() -> None:
    """A1-A5, A7."""
    demo = example("activations")
    assert max(map(demo.quotient_error, demo.SHOWN)) < 1e-9


def test_canonical_pairs_have_the_residual_as_gradient() -> None:
    """L1-L5."""
    assert max(example("losses").residuals().values()) < 1e-15


def test_networks_beat_the_best_constant() -> None:
    """M5-M7; the baseline of classes is scikit-learn's."""
    demo = example("models")
    for net, X, y in demo.tasks().values():
        constant = demo.baseline(net, y)
        if net.loss == "categorical_cross_entropy":
            dummy = DummyClassifier().fit(X, y)
            assert constant == pytest.approx(log_loss(y, dummy.predict_proba(X)), rel=1e-12)
        assert demo.fit(net, X, y).loss[-1] < constant / 5


def test_adjoints_and_difference_quotients() -> None:
    """B2, B4: the best step of a central quotient is near (3u)^(1/3), 7e-6."""
    demo = example("gradient_check")
    assert demo.adjoint_error("affine", (4, 3), (3, 2), (2,)) < 1e-13
    assert demo.adjoint_error("normalize", (5, 3)) < 1e-13
    best = demo.STEPS[np.argmin(demo.quotient_errors())]
    assert 1e-8 < best < 1e-4


def test_every_row_is_in_one_batch_of_an_epoch() -> None:
    """D3."""
    demo = example("batches")
    counts = [np.bincount(epoch).tolist() for epoch in demo.orders()]
    assert counts == [[16, 16, 16, 2]] * demo.EPOCHS
    assert (demo.orders()[0] != demo.orders()[1]).any()


def test_schedules_follow_their_formulas() -> None:
    """O7."""
    demo, i = example("schedules"), np.repeat(np.arange(30), 10)
    formulas = {
        "inverse time": 0.1 / (1 + 0.2 * i),
        "exponential": 0.1 * 0.9**i,
        "step decay": 0.1 * 0.3 ** (i // 10),
    }
    for name, rates in formulas.items():
        found = demo.display(demo.SCHEDULES[name]).rates
        np.testing.assert_allclose(found, rates, rtol=1e-12)


def test_early_stopping_ends_with_the_best_epoch() -> None:
    """O9, R4."""
    demo = example("early_stopping")
    (_, end), (stopped, best) = demo.fit(None), demo.fit(EarlyStopping(tol=0.0, patience=10))
    assert best == pytest.approx(min(stopped.validation_loss), rel=1e-12)
    assert best < end
    assert stopped.n_epochs == stopped.best_epoch + 11


def test_clipping_and_max_norm_prevent_a_divergence() -> None:
    """H4, R5."""
    demo = example("divergence")
    assert demo.fit()[0].stopped_by == "divergence"
    history, norm = demo.fit(ClipNorm(0.5), bound=1.0)
    assert history.stopped_by == "epochs"
    assert norm <= 1 + 1e-12
    assert history.loss[-1] < 0.1 * history.loss[0]


def test_the_true_degree_has_the_lowest_bic() -> None:
    """E4, E5."""
    demo = example("model_choice")
    found = [demo.judged(degree) for degree in demo.DEGREES]
    assert demo.DEGREES[int(np.argmin([criteria.bic for _, criteria in found]))] == 3
    for degree, (_, criteria) in zip(demo.DEGREES, found, strict=True):
        assert criteria.bic - criteria.aic == pytest.approx((degree + 2) * (np.log(60) - 2))
    folds = KFold(5, shuffle=True, random_state=0)
    x, y = demo.X[demo.TRAIN], demo.Y[demo.TRAIN]
    scores = cross_val_score(LinearRegression(), x, y, cv=folds, scoring="neg_mean_squared_error")
    assert found[0][0].mean == pytest.approx(-scores.mean() / 2, rel=1e-9)  # L3 has the ½


def test_a_small_training_set_shows_variance() -> None:
    """E3: bias E_tr ≥ 10ε, variance E_dev − E_tr ≥ ε."""
    demo = example("diagnosis")
    train, dev = demo.errors((100,), 30)
    assert train < demo.TARGET <= dev - train
    assert (demo.diagnosed(train, dev).bias, demo.diagnosed(train, dev).variance) == ("low", "high")
    assert demo.diagnosed(0.3, 0.3).bias == "high"
