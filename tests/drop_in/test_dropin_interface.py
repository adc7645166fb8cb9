"""Every argument, method and fitted attribute of scikit-learn's MLP is here, by introspection."""

from __future__ import annotations

import inspect
import re
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

from support.drop_in import LOADERS, pair, real
from support.estimators import KINDS, OURS, THEIRS, unconverged


def public_methods(cls: type) -> set[str]:
    return {name for name in dir(cls) if not name.startswith("_") and callable(getattr(cls, name))}


def documented_attributes(cls: type) -> set[str]:
    """Return the names in the Attributes section of a numpydoc docstring."""
    text = inspect.cleandoc(cls.__doc__ or "")
    section = text.split("\nAttributes\n----------\n")[1].split("\n\nSee Also\n")[0]
    return set(re.findall(r"^(\w+_) :", section, re.MULTILINE))


@pytest.mark.parametrize("kind", KINDS)
def test_every_argument(kind: str) -> None:
    """The same names, kinds and defaults, in the same order; ours follow by keyword only."""
    theirs = list(inspect.signature(THEIRS[kind]).parameters.values())
    ours = list(inspect.signature(OURS[kind]).parameters.values())
    assert [str(p).split(":")[0].split("=")[0] for p in ours[: len(theirs)]] == [
        p.name for p in theirs
    ]
    assert [(p.kind, p.default) for p in ours[: len(theirs)]] == [
        (p.kind, p.default) for p in theirs
    ]
    assert all(p.kind is p.KEYWORD_ONLY for p in ours[len(theirs) :])
    assert OURS[kind]().get_params().items() >= THEIRS[kind]().get_params().items()


@pytest.mark.parametrize("kind", KINDS)
def test_every_method(kind: str) -> None:
    """The same arguments, by the same names; what we add is by keyword only and optional."""
    methods = public_methods(THEIRS[kind])
    assert {"fit", "partial_fit", "predict", "score", "set_params"} <= methods
    assert methods <= public_methods(OURS[kind])
    for name in methods:
        theirs, ours = (
            inspect.signature(getattr(cls, name)).parameters for cls in (THEIRS[kind], OURS[kind])
        )
        for argument, expected in theirs.items():
            assert ours[argument].kind == expected.kind, (name, argument)
            assert ours[argument].default == expected.default, (name, argument)
        places = [p for p, q in ours.items() if q.kind is q.POSITIONAL_OR_KEYWORD]
        assert places == [p for p, q in theirs.items() if q.kind is q.POSITIONAL_OR_KEYWORD], name
        for argument in set(ours) - set(theirs):
            assert ours[argument].kind is inspect.Parameter.KEYWORD_ONLY, (name, argument)
            assert ours[argument].default is not inspect.Parameter.empty, (name, argument)


@pytest.mark.parametrize("kind", KINDS)
def test_the_metadata_that_can_be_requested(kind: str) -> None:
    """What scikit-learn's estimators take, ours take: a request for it can be set."""
    theirs, ours = (cls().get_metadata_routing() for cls in (THEIRS[kind], OURS[kind]))
    for method in ("fit", "partial_fit", "score"):
        expected = getattr(theirs, method).requests
        assert "sample_weight" in expected
        assert getattr(ours, method).requests.items() >= expected.items()


def test_the_documented_attributes_are_read() -> None:
    assert {"loss_", "coefs_", "n_iter_"} <= documented_attributes(THEIRS["regressor"])
    assert len(documented_attributes(THEIRS["classifier"])) >= 15


@pytest.mark.parametrize("table", LOADERS)
@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("solver", ["sgd", "adam", "lbfgs"])
def test_every_fitted_attribute(table: str, early_stopping: bool, solver: str) -> None:
    """What scikit-learn documents or sets is there, of the same type, shape and value."""
    X, y = real(table, as_frame=True)
    X = (X - X.mean()) / X.std()
    given = {"solver": solver, "early_stopping": early_stopping, "validation_fraction": 0.2}
    mine, peers = pair(table, **given)
    with unconverged():
        mine.fit(X, y)
        peers.fit(X, y)
    kind = LOADERS[table][0]
    set_in_fit = {name for name in vars(peers) if name.endswith("_") and not name.startswith("_")}
    names = {n for n in documented_attributes(THEIRS[kind]) | set_in_fit if hasattr(peers, n)}
    assert len(names) >= 10
    if solver == "lbfgs":
        names -= KEPT_AT_THEIR_BEGINNING
    exact = same_sums(y, solver, early_stopping)
    for name in sorted(names):
        assert_same(getattr(mine, name), getattr(peers, name), name, exact=exact)


KEPT_AT_THEIR_BEGINNING = {"best_loss_", "loss_curve_", "t_", "validation_scores_"}
"""What scikit-learn does not fill with L-BFGS; we do."""


def same_sums(y: Any, solver: str, early_stopping: bool) -> bool:
    """Whether none of the differences of decision 2 plays a part."""
    if np.ndim(y) == 2:  # L-BFGS minimises the sum over targets, not the mean
        return solver == "sgd"
    stratified_otherwise = early_stopping and len(np.unique(y)) == 3
    return solver == "lbfgs" or (solver == "sgd" and not stratified_otherwise)


def assert_same(a: Any, b: Any, name: str, *, exact: bool) -> None:
    """The same type and shape, and the same value but for numbers that are not exact."""
    if isinstance(b, list):
        assert isinstance(a, list), name
        for one, other in zip(a, b, strict=True):
            assert_same(one, other, name, exact=exact)
        return
    assert np.shape(a) == np.shape(b), name
    if b is None or isinstance(b, str):
        assert a == b, name
    elif np.asarray(b).dtype.kind in "fc":
        if exact:
            assert_allclose(np.asarray(a, float), np.asarray(b, float), rtol=1e-7, err_msg=name)
    else:
        assert np.asarray(a).tolist() == np.asarray(b).tolist(), name
