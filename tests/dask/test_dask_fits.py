"""Fits on a cluster have the bits of the local fit, on any number of workers."""

from __future__ import annotations

import asyncio
import pickle
import threading
from collections.abc import Iterator
from inspect import signature
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.base import clone

from deltarule import MLPClassifier, MLPRegressor, Shards
from deltarule.errors import ClusterError, DataError, SlowClusterWarning, SpecError
from support.clusters import connected, cut, sha

pytest.importorskip("distributed")

import dask.array as da
import dask.dataframe as dd
from distributed import Client, LocalCluster

from deltarule.dask import DaskMLPClassifier, DaskMLPRegressor
from deltarule.dask import crew as crew_module
from deltarule.dask.interpreter import subtrees

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*converge.*", "ignore::DeprecationWarning", "ignore:steps of"
)

LENGTHS = (70, 0, 1, 90, 39)
RNG = np.random.default_rng(0)
X = RNG.standard_normal((200, 6))
LABELS = np.array(["a", "b", "c"])[np.argmax(X[:, :3] + RNG.normal(size=(200, 3)), axis=1)]
NUMBERS = X @ np.arange(6.0) + RNG.normal(size=200)
WEIGHT = np.where(RNG.random(200) < 0.1, 0.0, RNG.random(200))
FIT: dict[str, Any] = {"hidden_layer_sizes": (9,), "max_iter": 3, "random_state": 0}


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    """Workers in this process: eight of one thread each, of which a test may use fewer."""
    with connected(8) as made:
        yield made


@pytest.fixture(scope="module")
def cluster(client: Client) -> LocalCluster:
    return client.cluster


def parts(array: Any) -> list[Any]:
    return cut(array, LENGTHS)


CASES: dict[str, tuple[Any, Any, dict[str, Any], bool]] = {
    "adam": (MLPClassifier, LABELS, {"batch_size": 32}, False),
    "sgd, dropout, weights": (MLPClassifier, LABELS, {"solver": "sgd", "dropout": 0.3}, True),
    "lbfgs": (MLPClassifier, LABELS, {"solver": "lbfgs"}, True),
    "line search": (
        MLPRegressor,
        NUMBERS,
        {"solver": "line_search", "max_iter": 1},
        False,
    ),
    "early stopping": (
        MLPClassifier,
        LABELS,
        {"early_stopping": True, "class_weight": "balanced", "l1": 1e-3, "batch_size": 50},
        False,
    ),
    "regression": (
        MLPRegressor,
        NUMBERS,
        {"early_stopping": True, "standardize": True, "max_norm": 1.0, "gradient_clip": 0.1},
        True,
    ),
    "two labels each": (
        MLPClassifier,
        (X[:, :2] > 0).astype(int),
        {"shuffle": False, "dtype": "float32"},
        False,
    ),
}


@pytest.mark.parametrize(
    ("case", "form"),
    [
        *((case, "dense") for case in CASES),
        ("adam", "sparse"),
        ("lbfgs", "sparse"),
        ("regression", "sparse"),
    ],
)
def test_a_fit_on_a_cluster_has_the_bits_of_the_local_fit(
    client: Client, case: str, form: str
) -> None:
    kind, y, given, weighted = CASES[case]
    rows = X if form == "dense" else sparse.csr_array(np.where(np.abs(X) > 0.7, X, 0))
    weight = WEIGHT if weighted else None
    arguments = FIT | given
    local = kind(shards=Shards(8, LENGTHS), **arguments).fit(rows, y, weight)
    cluster_kind = DaskMLPClassifier if kind is MLPClassifier else DaskMLPRegressor
    model = cluster_kind(client=client, **arguments).fit(
        parts(rows), parts(y), None if weight is None else parts(weight)
    )
    assert sha(model) == sha(local)
    assert model.loss_curve_ == local.loss_curve_
    assert model.validation_scores_ == local.validation_scores_
    assert model.loss_ == local.loss_
    if weight is None:
        np.testing.assert_array_equal(model.to_local().predict(rows), local.predict(rows))


@pytest.mark.parametrize("n_workers", [1, 2, 3, 8])
def test_the_number_of_workers_changes_no_bit(n_workers: int) -> None:
    arguments = FIT | {"batch_size": 40, "dropout": 0.1}
    local = MLPClassifier(shards=Shards(8, LENGTHS), **arguments).fit(X, LABELS)
    with connected(n_workers, threads=2) as client:
        model = DaskMLPClassifier(client=client, **arguments).fit(parts(X), parts(LABELS))
    assert sha(model) == sha(local)


def test_batches_of_more_than_a_run_of_rows_have_the_same_bits(client: Client) -> None:
    rng = np.random.default_rng(1)
    rows, y = rng.standard_normal((5000, 3)), rng.standard_normal(5000)
    arguments = {"hidden_layer_sizes": (4,), "batch_size": 5000, "max_iter": 2, "random_state": 1}
    local = MLPRegressor(shards=Shards(2, (5000,)), **arguments).fit(rows, y)
    model = DaskMLPRegressor(client=client, shards=2, **arguments).fit([rows], [y])
    assert sha(model) == sha(local)


@pytest.mark.parametrize(
    ("form", "every", "given"),
    [
        ("dense", "epoch", {"solver": "adam"}),
        ("dense", 2, {"solver": "sgd", "dropout": 0.2, "early_stopping": True, "alpha": 1.0}),
        ("sparse", 3, {"solver": "nadam", "gradient_clip": 0.1, "momentum": 0.0}),
    ],
)
def test_shards_that_take_steps_by_themselves_have_the_bits_of_one_machine(
    client: Client, form: str, every: Any, given: dict[str, Any]
) -> None:
    rows = X if form == "dense" else sparse.csr_array(np.where(np.abs(X) > 0.7, X, 0))
    arguments = FIT | {"batch_size": 32} | given
    weight = WEIGHT if form == "dense" else None
    exact = MLPClassifier(shards=Shards(8, LENGTHS), **arguments).fit(rows, LABELS, weight)
    local = MLPClassifier(shards=Shards(8, LENGTHS, every), **arguments).fit(rows, LABELS, weight)
    model = DaskMLPClassifier(client=client, sync="average", every=every, **arguments)
    model.fit(parts(rows), parts(LABELS), None if weight is None else parts(weight))
    assert sha(model) == sha(local) != sha(exact)
    assert model.loss_curve_ == local.loss_curve_
    assert model.validation_scores_ == local.validation_scores_
    assert model.note_.startswith("approximate")
    assert "approximate" in repr(model)
    assert "approximate" not in repr(DaskMLPClassifier())


def test_arrays_and_dataframes_predict_lazily(client: Client) -> None:
    rows, y = da.from_array(X, chunks=(60, 6)), da.from_array(LABELS, chunks=60)
    model = DaskMLPClassifier(**FIT).fit(rows, y)  # the current client
    local = model.to_local()
    assert sha(local) == sha(
        MLPClassifier(shards=Shards(8, (60, 60, 60, 20)), **FIT).fit(X, LABELS)
    )
    predicted, probability = model.predict(rows), model.predict_proba(rows)
    assert isinstance(predicted, da.Array)
    assert predicted.shape == (200,)
    assert probability.shape == (200, 3)
    np.testing.assert_array_equal(predicted.compute(), local.predict(X))
    np.testing.assert_array_equal(probability.compute(), local.predict_proba(X))
    np.testing.assert_array_equal(model.predict(X), local.predict(X))

    frame = pd.DataFrame(X, columns=list("uvwxyz"))
    frame["target"] = LABELS
    table = dd.from_pandas(frame, npartitions=3)
    inputs = table[list("uvwxyz")]
    model = DaskMLPClassifier(**FIT).fit(inputs, table["target"])
    assert model.feature_names_in_.tolist() == list("uvwxyz")
    found = model.predict(inputs).compute()
    assert found.index.equals(frame.index)
    expected = model.to_local().predict(frame[list("uvwxyz")])
    np.testing.assert_array_equal(found.to_numpy(), expected)
    assert model.predict_proba(inputs).compute().shape == (200, 3)


def test_a_validation_set_of_the_cluster_stops_as_one_in_memory(client: Client) -> None:
    arguments = FIT | {"early_stopping": True, "max_iter": 6, "n_iter_no_change": 2}
    local = MLPRegressor(shards=Shards(8, LENGTHS), **arguments)
    local.fit(X, NUMBERS, X_val=X[:50], y_val=NUMBERS[:50])
    model = DaskMLPRegressor(client=client, **arguments)
    model.fit(parts(X), parts(NUMBERS), X_val=[X[:50]], y_val=[NUMBERS[:50]])
    assert sha(model) == sha(local)
    assert model.validation_scores_ == local.validation_scores_
    reference = MLPRegressor(**arguments).fit(X, NUMBERS, X_val=X[:50], y_val=NUMBERS[:50])
    np.testing.assert_allclose(
        model.validation_scores_[0], reference.validation_scores_[0], atol=0.5
    )


def test_steps_that_take_longer_than_on_one_worker_are_reported(client: Client) -> None:
    model = DaskMLPRegressor(client=client, **FIT | {"batch_size": 5, "max_iter": 2})
    with pytest.warns(SlowClusterWarning, match=r"steps of 5 rows take .* ms on this cluster"):
        model.fit(parts(X), parts(NUMBERS))


def test_futures_and_delayed_parts_are_taken(client: Client) -> None:
    import dask

    futures = client.scatter(parts(X))
    delayed = [dask.delayed(part) for part in parts(LABELS)]
    model = DaskMLPClassifier(client=client, **FIT).fit(futures, delayed)
    assert sha(model) == sha(MLPClassifier(shards=Shards(8, LENGTHS), **FIT).fit(X, LABELS))


def test_two_fits_at_once_do_not_disturb_each_other(client: Client) -> None:
    local = [
        MLPRegressor(shards=Shards(8, LENGTHS), **FIT | {"random_state": seed}).fit(X, NUMBERS)
        for seed in (0, 1)
    ]
    models = [DaskMLPRegressor(client=client, **FIT | {"random_state": seed}) for seed in (0, 1)]
    threads = [
        threading.Thread(target=lambda m=model: m.fit(parts(X), parts(NUMBERS))) for model in models
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [sha(model) for model in models] == [sha(model) for model in local]


def test_a_fit_leaves_no_task_behind(client: Client, cluster: LocalCluster) -> None:
    DaskMLPRegressor(client=client, **FIT).fit(parts(X), parts(NUMBERS))
    for _ in range(100):
        left = [key for key in cluster.scheduler.tasks if "deltarule" in str(key)]
        if not left:
            break
        threading.Event().wait(0.05)
    assert left == []


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("epochs", [3, pytest.param(100, marks=pytest.mark.long)])
def test_the_scheduler_forgets_the_steps_of_a_fit(epochs: int) -> None:
    import psutil

    sizes: list[tuple[int, int, int]] = []
    with connected(1) as client:
        scheduler = client.cluster.scheduler

        def measure() -> None:
            groups = len(scheduler.task_groups)
            sizes.append((len(scheduler.tasks), groups, psutil.Process().memory_info().rss))

        model = DaskMLPRegressor(
            hidden_layer_sizes=(3,),
            batch_size=1,
            max_iter=epochs,
            tol=0.0,
            random_state=0,
            n_iter_no_change=10**6,
            client=client,
        )
        submit = crew_module.Crew.submit

        def submitting(self: Any, name: str, *given: Any, **kwargs: Any) -> Any:
            if name == "sums" and next(steps) % 20 == 0:
                measure()
            return submit(self, name, *given, **kwargs)

        steps = iter(range(10**6))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(crew_module.Crew, "submit", submitting)
            model.fit([X[:100]], [NUMBERS[:100]])
    assert len(sizes) == 5 * epochs  # of 100 steps in each
    tasks, groups, memory = (np.array(column) for column in zip(*sizes, strict=True))
    assert tasks.max() < 30
    assert groups.max() < 20
    if epochs == 100:
        assert memory[-1] - memory[100] < 30 * 2**20


def test_signatures_are_the_local_ones_with_a_client() -> None:
    for ours, local in ((DaskMLPClassifier, MLPClassifier), (DaskMLPRegressor, MLPRegressor)):
        given, expected = signature(ours).parameters, signature(local).parameters
        assert [*expected, "client", "sync", "every"] == list(given)
        assert given["shards"].default == 8
        same = [name for name in expected if name != "shards"]
        assert all(given[name] == expected[name] for name in same)


def test_copies_and_pickles_have_no_client(client: Client) -> None:
    model = DaskMLPRegressor(client=client, **FIT).fit(parts(X), parts(NUMBERS))
    copy = pickle.loads(pickle.dumps(model))
    assert copy.client is None
    assert model.client is client
    assert clone(model).client is client
    assert not clone(model).__sklearn_is_fitted__()
    np.testing.assert_array_equal(copy.predict(X), model.predict(X))


def test_subtrees_are_the_largest_ones() -> None:
    assert subtrees(list(range(8))) == [(0, 8)]
    assert subtrees([0, 1, 2]) == [(0, 2), (2, 1)]
    assert subtrees([1, 2, 3, 6, 7]) == [(1, 1), (2, 2), (6, 2)]


# --- refusals ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"batch_norm": True}, SpecError, "does not go with batch norm"),
        ({"warm_start": True}, SpecError, "warm_start is not for fits on a cluster"),
        ({"augment": lambda x, r, e: x}, SpecError, "augment is not for fits on a cluster"),
        ({"engine": "reference"}, SpecError, "engine='reference' is not for fits on a cluster"),
        ({"shards": None}, SpecError, "shards must be a power of two on a cluster"),
        ({"shards": 3}, SpecError, "shards must be a power of two"),
        ({"sync": "later"}, SpecError, "sync must be 'gradients' or 'average'"),
        ({"sync": "average", "every": 0}, SpecError, "every of Shards must be a number of steps"),
        ({"sync": "average", "solver": "lbfgs"}, SpecError, "needs the gradient over all rows"),
        ({"sync": "average", "max_norm": 1.0}, SpecError, "does not go with shards that take"),
        ({"early_stopping": True, "monitor": "f1_macro"}, SpecError, "monitor must be 'auto'"),
    ],
)
def test_what_a_cluster_cannot_do_is_refused_by_name(
    client: Client, change: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        DaskMLPClassifier(client=client, **FIT | change).fit(parts(X), parts(LABELS))


def test_data_that_do_not_fit_are_refused_by_name(client: Client) -> None:
    model = DaskMLPClassifier(client=client, **FIT)
    rows, y = da.from_array(X, chunks=(60, 6)), da.from_array(LABELS, chunks=50)
    with pytest.raises(DataError, match=r"other chunks of rows: .*Use y\.rechunk"):
        model.fit(rows, y)
    with pytest.raises(DataError, match=r"must have the same partitions"):
        model.fit(rows, y.rechunk(200))
    with pytest.raises(DataError, match=r"3 chunks of columns"):
        model.fit(rows.rechunk((60, 2)), y.rechunk(60))
    with pytest.raises(DataError, match=r"partition 0 of X: its chunks have different numbers"):
        model.fit([X[:10]], [LABELS[:9]])
    with pytest.raises(DataError, match=r"partition 1 of X: .*NaN"):
        model.fit([X[:10], np.full((2, 6), np.nan)], [LABELS[:10], LABELS[:2]])
    with pytest.raises(DataError, match=r"partition 1 of X has other features"):
        model.fit([X[:10], X[:2, :3]], [LABELS[:10], LABELS[:2]])
    with pytest.raises(DataError, match="no rows in any partition"):
        model.fit([X[:0]], [LABELS[:0]])
    with pytest.raises(SpecError, match="X must be a Dask array, a Dask dataframe or a list"):
        model.fit(X, LABELS)
    with pytest.raises(SpecError, match="y is missing"):
        model.fit(rows, None)
    with pytest.raises(DataError, match="weights of all training rows add up to 0"):
        model.fit([X[:10]], [LABELS[:10]], [np.zeros(10)])
    frame = dd.from_pandas(pd.DataFrame({"u": X[:, 0], "c": LABELS}), npartitions=2)
    unknown = frame.astype({"c": "category"})
    with pytest.raises(DataError, match=r"categories of 'c' in y are unknown"):
        model.fit(frame[["u"]], unknown["c"])
    with pytest.raises(DataError, match=r"column 'c' of X holds categories"):
        model.fit(unknown.categorize(), frame["c"])
    assert not model.__sklearn_is_fitted__()


def test_chunks_of_unknown_sizes_are_compared_on_the_workers(client: Client) -> None:
    rows, y = da.from_array(X, chunks=(60, 6)), da.from_array(LABELS, chunks=60)
    kept = X[:, 0] > -1
    mask = da.from_array(kept, chunks=60)
    model = DaskMLPClassifier(client=client, **FIT).fit(rows[mask], y[mask])
    lengths = [int(kept[i : i + 60].sum()) for i in range(0, 200, 60)]
    local = MLPClassifier(shards=Shards(8, lengths), **FIT).fit(X[kept], LABELS[kept])
    assert sha(model) == sha(local)
    with pytest.raises(DataError, match="different numbers of rows"):
        DaskMLPClassifier(client=client, **FIT).fit(rows[mask], y)


def test_clients_that_cannot_compute_are_refused_by_name(cluster: LocalCluster) -> None:
    closed = Client(cluster)
    closed.close()
    with pytest.raises(SpecError, match="client is closed"):
        DaskMLPClassifier(client=closed, **FIT).fit(parts(X), parts(LABELS))
    with pytest.raises(SpecError, match=r"client must be a distributed\.Client"):
        DaskMLPClassifier(client="tcp://127.0.0.1:1", **FIT).fit(parts(X), parts(LABELS))


def test_an_asynchronous_client_is_refused_by_name(cluster: LocalCluster) -> None:
    async def fit() -> None:
        async with Client(cluster.scheduler_address, asynchronous=True) as client:
            model = DaskMLPClassifier(client=client, **FIT)
            with pytest.raises(SpecError, match="client is asynchronous"):
                model.fit(parts(X), parts(LABELS))
            with pytest.raises(SpecError, match="client is asynchronous"):
                DaskMLPClassifier(**FIT).fit(parts(X), parts(LABELS))  # the current client

    asyncio.run(fit())


def test_workers_that_compute_other_bits_are_refused(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crew_module, "_worker_identity", _other_processor)
    with pytest.raises(ClusterError, match="differs in processor"):
        DaskMLPClassifier(client=client, **FIT).fit(parts(X), parts(LABELS))
    inexact = DaskMLPClassifier(client=client, **FIT).fit(parts(X), parts(LABELS), exact=False)
    assert inexact.n_iter_ == 3


def _other_processor() -> Any:
    from deltarule.dask.workers import identity

    return identity() | {"processor": "unlike"}
