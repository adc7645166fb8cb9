"""A fit on a cluster resumes on one machine, and the other way round, to the bit."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import sparse

from deltarule import Checkpoint, MLPClassifier, Shards
from deltarule.errors import CheckpointError, ClusterError
from support.clusters import connected, cut, sha

pytest.importorskip("distributed")

from distributed import Client

from deltarule.dask import DaskMLPClassifier
from deltarule.dask.crew import Crew

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*converge.*", "ignore::DeprecationWarning", "ignore:steps of", "ignore:.*interrupted.*"
)

LENGTHS = (50, 0, 30, 40, 1)
RNG = np.random.default_rng(0)
X = RNG.standard_normal((121, 5))
Y = np.array(["a", "b", "c"])[np.argmax(X[:, :3] + RNG.normal(size=(121, 3)), axis=1)]
WEIGHT = RNG.random(121)
FIT: dict[str, Any] = {"hidden_layer_sizes": (6,), "random_state": 0, "batch_size": 25}


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with connected(2) as made:
        yield made


def parts(array: Any) -> list[Any]:
    return cut(array, LENGTHS)


CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "adam": ({}, {}),
    "early stopping": (
        {"early_stopping": True, "standardize": True, "dropout": 0.2, "solver": "sgd"},
        {},
    ),
    "local steps": ({"sync": "average", "every": 2}, {"every": 2}),
}


def fit(where: str, client: Client, case: str, epochs: int, checkpoint: Any, rows: Any = X) -> Any:
    cluster, local = CASES[case]
    given = FIT | {"max_iter": epochs, "checkpoint": checkpoint}
    if where == "cluster":
        model = DaskMLPClassifier(client=client, **given, **cluster)
        return model.fit(parts(rows), parts(Y), parts(WEIGHT))
    others = {name: value for name, value in cluster.items() if name not in ("sync", "every")}
    shards = Shards(8, LENGTHS, **local)
    return MLPClassifier(shards=shards, **given, **others).fit(rows, Y, WEIGHT)


@pytest.mark.parametrize("case", list(CASES))
@pytest.mark.parametrize("order", [("cluster", "local"), ("local", "cluster")])
def test_a_fit_resumes_elsewhere_to_the_bit(
    client: Client, tmp_path: Path, case: str, order: tuple[str, str]
) -> None:
    whole = fit("local", client, case, 6, None)
    fit(order[0], client, case, 3, tmp_path / "c")
    resumed = fit(order[1], client, case, 6, Checkpoint(tmp_path / "c", exact=True))
    assert sha(resumed) == sha(whole)
    assert resumed.loss_curve_ == whole.loss_curve_
    assert resumed.validation_scores_ == whole.validation_scores_


@pytest.mark.parametrize("case", list(CASES))
def test_a_fit_that_is_interrupted_on_the_cluster_resumes_locally(
    client: Client, tmp_path: Path, case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the middle of an epoch."""
    whole = fit("local", client, case, 5, None)
    submit, calls = Crew.submit, []

    def failing(self: Crew, name: str, *given: Any, **kwargs: Any) -> Any:
        if name in ("sums", "round"):
            calls.append(name)
            if len(calls) == 14:
                raise ClusterError("lost")
        return submit(self, name, *given, **kwargs)

    monkeypatch.setattr(Crew, "submit", failing)
    with pytest.raises(ClusterError, match="lost"):
        fit("cluster", client, case, 5, Checkpoint(tmp_path / "c", every_seconds=0))
    names = sorted(path.name for path in (tmp_path / "c").glob("epoch-*"))
    assert names
    assert sha(fit("local", client, case, 5, tmp_path / "c")) == sha(whole)


def test_sparse_rows_resume_elsewhere_and_other_rows_are_refused(
    client: Client, tmp_path: Path
) -> None:
    rows = sparse.csr_array(np.where(np.abs(X) > 0.7, X, 0))
    whole = fit("local", client, "adam", 4, None, rows)
    fit("cluster", client, "adam", 2, tmp_path / "c", rows)
    with pytest.raises(CheckpointError, match=r"of another training: .*X"):
        fit("cluster", client, "adam", 4, tmp_path / "c", X)
    with pytest.raises(CheckpointError, match=r"of another training: .*X"):
        fit("local", client, "adam", 4, tmp_path / "c", X)
    other = MLPClassifier(shards=Shards(8), **FIT, max_iter=4, checkpoint=tmp_path / "c")
    with pytest.raises(CheckpointError, match=r"of another training: .*shards"):
        other.fit(rows, Y, WEIGHT)
    assert sha(fit("local", client, "adam", 4, tmp_path / "c", rows)) == sha(whole)


def test_a_validation_set_of_the_cluster_is_compared(client: Client, tmp_path: Path) -> None:
    given = FIT | {"early_stopping": True, "checkpoint": tmp_path / "c"}

    def there(epochs: int, rows: Any) -> Any:
        model = DaskMLPClassifier(client=client, max_iter=epochs, **given)
        return model.fit(parts(X), parts(Y), X_val=[rows], y_val=[Y[:30]])

    there(2, X[:30])
    with pytest.raises(CheckpointError, match=r"of another training: .*X_val"):
        there(4, X[1:31])
    resumed = MLPClassifier(shards=Shards(8, LENGTHS), max_iter=4, **given)
    resumed.fit(X, Y, X_val=X[:30], y_val=Y[:30])
    del given["checkpoint"]
    whole = MLPClassifier(shards=Shards(8, LENGTHS), max_iter=4, **given)
    assert sha(resumed) == sha(whole.fit(X, Y, X_val=X[:30], y_val=Y[:30]))
