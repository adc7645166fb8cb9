"""scikit-learn's interface to fits on a Dask cluster, with the local estimators' arguments."""

from __future__ import annotations

import inspect
from contextlib import AbstractContextManager
from copy import copy, deepcopy
from dataclasses import replace
from typing import Any, ClassVar, Self

import dask.config
import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils.validation import check_is_fitted

from deltarule.dask.crew import Crew, client_of
from deltarule.dask.fitting import fit_on_cluster
from deltarule.dask.parts import Collections
from deltarule.errors import BusyError, DivergenceError, SpecError
from deltarule.estimators import MLPClassifier, MLPRegressor
from deltarule.estimators.sklearn_compat import EpochCallbackMixin
from deltarule.spec.shards import Shards, resolve_shards
from deltarule.utils.locks import ForkSafeLock

__all__ = ["DaskMLPClassifier", "DaskMLPRegressor"]

_SHARDS = 8
_OWN = {"client": None, "sync": "gradients", "every": "epoch"}
"""The arguments that local estimators do not have."""

_CALLBACKS = ("_skl_callbacks", "_parent_callback_ctx")
"""Where scikit-learn keeps an estimator's callbacks, and the task of a search around its fit."""

_EXACT = "exact: the parameters have the same bits as on one machine"
_APPROXIMATE = "approximate: shards take steps by themselves, and their parameters are averaged"


def _arguments_of(local: type[Any]) -> inspect.Signature:
    """Return the signature of a local estimator, with other shards, client, sync and every."""
    given = list(inspect.signature(local.__init__).parameters.values())
    changed = [p.replace(default=_SHARDS) if p.name == "shards" else p for p in given]
    more = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default)
        for name, default in _OWN.items()
    ]
    return inspect.Signature([*changed, *more])


class _DaskMLP(EpochCallbackMixin, BaseEstimator):
    """What the two estimators share; not to be used directly."""

    _local_class: ClassVar[type[Any]]
    _local: Any

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Give a subclass a constructor with the arguments of its local estimator."""
        super().__init_subclass__(**kwargs)
        signature = _arguments_of(cls._local_class)

        def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807
            bound = signature.bind(self, *args, **kwargs)
            bound.apply_defaults()
            for name, value in list(bound.arguments.items())[1:]:
                setattr(self, name, value)

        __init__.__signature__ = signature  # type: ignore[attr-defined]
        cls.__init__ = __init__  # type: ignore[method-assign]

    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        X_val: Any = None,
        y_val: Any = None,
        sample_weight_val: Any = None,
        exact: bool = True,
    ) -> Self:
        """Fit the network to rows on the cluster, which stay where they are.

        Parameters
        ----------
        X : dask array or dataframe of shape (n_samples, n_features), or a list of parts
            The input data, dense or CSR, in partitions of rows. A part is a future, a delayed
            object or an array.
        y : dask array, series or dataframe, or a list of parts
            The targets, in the same partitions.
        sample_weight : dask array or series, or a list of parts, optional
            Weights of the rows in the loss, likewise.
        X_val, y_val, sample_weight_val : optional
            Your own validation set for ``early_stopping=True``, on the cluster too.
        exact : bool, default=True
            Refuse workers whose processors compute other bits than the one here.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ClusterError
            If the cluster has no workers, or none for 30 seconds during the fit; if workers have
            another release of deltarule or another kind of processor.
        SpecError, DataError
            For arguments that do not go together, or not with the data; the message names them
            and the remedy.
        DivergenceError, BusyError
            As ``fit`` of the local estimator.
        """
        with self._fit_lock():
            given, own = Collections(X, y, sample_weight), (X_val, y_val, sample_weight_val)
            return self._fit(given, own, exact=exact)

    def _fit(self, given: Collections, own: tuple[Any, Any, Any], *, exact: bool) -> Self:
        crew = Crew(client_of(self.client))
        crew.check(exact=exact)
        validation = None
        if any(collection is not None for collection in own):
            if own[0] is None or own[1] is None:
                raise ValueError("X_val and y_val go together: give both, or neither.")
            validation = Collections(*own)
        local = self._unfitted()
        watched = {n: vars(self)[n] for n in _CALLBACKS if n in vars(self)}
        vars(local).update(watched)
        try:  # a step's θ may be large, and has to travel
            with dask.config.set({"distributed.admin.large-graph-warning-threshold": "1 TB"}):
                fit_on_cluster(local, crew, given, validation)
        except DivergenceError:  # the estimator holds the best finite parameters
            self._hold(local)
            raise
        self._hold(local)
        return self

    def _fit_lock(self) -> AbstractContextManager[Any]:
        """Return a lock for a fit: another thread's fit of this estimator waits for it."""
        lock: ForkSafeLock = self.__dict__.setdefault("_lock_of_fits", ForkSafeLock())
        if lock.is_mine:
            raise BusyError(
                f"this {type(self).__name__} is being fitted by the call of fit that runs this "
                "code (a callback, a signal handler or a finaliser). Fit "
                "sklearn.base.clone(estimator), or wait until that call has ended."
            )
        held: AbstractContextManager[Any] = lock.here()
        return held

    def _hold(self, local: Any) -> None:
        """Keep the fitted estimator, without callbacks, which belong to this process."""
        for name in _CALLBACKS:
            vars(local).pop(name, None)
        local._set_features(local._model)
        self._local = local

    def _unfitted(self) -> Any:
        """Return the local estimator with the same arguments."""
        given = self.get_params(deep=False)
        sync, every = given.pop("sync"), given.pop("every")
        del given["client"]
        if sync not in ("gradients", "average"):
            raise SpecError(f"sync must be 'gradients' or 'average'; got {sync!r:.40}.")
        if sync == "average":
            given["shards"] = replace(resolve_shards(given["shards"]) or Shards(), every=every)
        return self._local_class(**given)

    def to_local(self) -> Any:
        """Return the fitted local estimator, which predicts, saves and exports without Dask.

        Returns
        -------
        MLPClassifier or MLPRegressor
            A copy.
        """
        check_is_fitted(self)
        return deepcopy(self._local)

    @property
    def note_(self) -> str:
        """Whether the parameters are those of one machine, or approximate."""
        check_is_fitted(self)
        return _APPROXIMATE if self.sync == "average" else _EXACT

    def __repr__(self, N_CHAR_MAX: int = 700) -> str:
        """Return the arguments, and that the parameters are approximate, if they are."""
        shown = str(super().__repr__(N_CHAR_MAX))
        averages = getattr(self, "sync", None) == "average"
        return f"{shown}  # {_APPROXIMATE}" if averages else shown

    def predict(self, X: Any) -> Any:
        """Predict for the rows of X, lazily for a collection.

        Parameters
        ----------
        X : dask array or dataframe, or rows in memory
            The input data, of shape (n_samples, n_features).

        Returns
        -------
        y : dask array or series, or ndarray
            Class labels or numbers; a series with the index of a dataframe.
        """
        return self._lazily("predict", X)

    def _lazily(self, method: str, X: Any) -> Any:
        """Return what a method of the local estimator returns, for every partition."""
        check_is_fitted(self)
        local = self.to_local()
        if not hasattr(X, "to_delayed"):
            return getattr(local, method)(X)
        from dask.delayed import delayed

        width, nameless = self.n_features_in_, _without_names(local)
        shown = getattr(nameless, method)(np.zeros((1, width), local._model.dtype))
        if hasattr(X, "npartitions") and not hasattr(X, "chunks"):
            return _of_frame(X, method, delayed(local, pure=True), shown)
        model = delayed(nameless, pure=True)
        if X.ndim != 2 or X.numblocks[1] > 1:
            raise SpecError(
                f"X must have two dimensions and whole rows in every chunk; got chunks "
                f"{X.chunks!s:.80}. Use X.rechunk({{1: -1}})."
            )
        if X.shape[1] != width:
            raise ValueError(
                f"X has {X.shape[1]} features, but {type(self).__name__} is expecting {width} "
                "features as input."
            )
        if shown.ndim == 1:
            return X.map_blocks(
                _call, method, model, drop_axis=1, dtype=shown.dtype, meta=shown[:0]
            )
        chunks = (X.chunks[0], (shown.shape[1],))
        return X.map_blocks(_call, method, model, chunks=chunks, dtype=shown.dtype, meta=shown[:0])

    def __sklearn_is_fitted__(self) -> bool:
        """Whether ``fit`` has run."""
        return "_local" in vars(self)

    def __getattr__(self, name: str) -> Any:
        """Return a fitted attribute, such as ``coefs_``, of the local estimator."""
        local = vars(self).get("_local")
        if local is not None and name.endswith("_") and not name.startswith("_"):
            return getattr(local, name)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __getstate__(self) -> dict[str, Any]:
        """Return what copies and pickles hold: no client, which belongs to this process."""
        held = dict(super().__getstate__()) | {"client": None}
        held.pop("_lock_of_fits", None)
        return held

    def __sklearn_clone__(self) -> Self:
        """Return an estimator with the same arguments and the same client, which has no copy."""
        made: Self = super(_DaskMLP, copy(self)).__sklearn_clone__()
        made.client = self.client
        return made

    def __sklearn_tags__(self) -> Any:
        """Return scikit-learn's tags: sparse input is accepted."""
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


class DaskMLPClassifier(ClassifierMixin, _DaskMLP):
    """Multilayer perceptron for classes, trained by the workers of a Dask cluster.

    Every worker sums losses and gradients over its shards of a batch; the sums are added in one
    fixed tree, and this process takes the steps. So the parameters are the same to the bit on any
    number of workers, whichever of them die meanwhile, and on one machine with
    ``MLPClassifier(shards=Shards(8, partitions))``, where ``partitions`` are the lengths of the
    partitions of X. See ``docs/scale.md`` for when a cluster pays.

    Parameters
    ----------
    hidden_layer_sizes, activation, solver, … :
        As those of `deltarule.MLPClassifier`, in the same order. Not ``batch_norm``, ``augment``,
        ``warm_start``, ``engine="reference"``, nor a ``monitor`` other than "auto"
        and "loss".
    shards : int, default=8
        Into how many shards every batch is cut, a power of two: at most so many workers compute at
        the same time.
    client : distributed.Client or None, default=None
        The cluster to compute on; None means Dask's current client. Copies and pickles have none;
        ``sklearn.base.clone`` keeps it.
    sync : {"gradients", "average"}, default="gradients"
        "gradients": the sums over all shards make every step, which is exact. "average":
        approximate. Each shard takes steps by itself, and their θ are averaged after ``every``
        (DiLoCo: an outer step with Nesterov's momentum 0.9 and rate 0.7). It depends on the shards,
        never on the workers. Not for ``solver="lbfgs"``, ``"line_search"`` or ``"rprop"``, nor
        with ``max_norm``.
    every : int or "epoch", default="epoch"
        With ``sync="average"``: after how many steps θ are averaged, at the end of an epoch, too.

    Attributes
    ----------
    note_ : str
        Whether the parameters are exact or approximate.
    classes_, coefs_, loss_curve_, … :
        As those of `deltarule.MLPClassifier`.

    Notes
    -----
    Rows are visited in a new order in every epoch, but within their partitions (``Shards``). Rows
    that early stopping holds out are drawn from each partition, and not by class.

    Callbacks (``set_callbacks``) run in the process that calls ``fit``, and see the local estimator
    that is fitted. One that takes X, y or metadata brings all training rows to this process.

    Examples
    --------
    >>> import dask.array as da
    >>> from distributed import Client
    >>> from sklearn.datasets import load_iris
    >>> from deltarule.dask import DaskMLPClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> with Client(n_workers=2, processes=False, dashboard_address=":0") as client:
    ...     X, y = da.from_array(X, chunks=(50, 4)), da.from_array(y, chunks=50)
    ...     model = DaskMLPClassifier(solver="lbfgs", alpha=1.0, tol=0.01, random_state=0)
    ...     share = float((model.fit(X, y).predict(X) == y).mean())
    >>> share > 0.95
    True
    """

    _local_class = MLPClassifier

    def predict_proba(self, X: Any) -> Any:
        """Return the probability of every class, lazily for a collection.

        Parameters
        ----------
        X : dask array or dataframe, or rows in memory
            The input data, of shape (n_samples, n_features).

        Returns
        -------
        probability : dask array or dataframe, or ndarray
            Of shape (n_samples, n_classes), in the order of ``classes_``.
        """
        return self._lazily("predict_proba", X)


class DaskMLPRegressor(RegressorMixin, _DaskMLP):
    """Multilayer perceptron for numbers, trained by the workers of a Dask cluster.

    Its parameters are those of ``MLPRegressor(shards=Shards(8, partitions))``, to the bit; see
    `DaskMLPClassifier`.

    Parameters
    ----------
    loss, hidden_layer_sizes, activation, solver, … :
        As those of `deltarule.MLPRegressor`, in the same order, with the exceptions of
        `DaskMLPClassifier`. Early stopping is for one quantile at a time.
    shards : int, default=8
        Into how many shards every batch is cut, a power of two.
    client : distributed.Client or None, default=None
        The cluster to compute on; None means Dask's current client. Copies and pickles have none;
        ``sklearn.base.clone`` keeps it.
    sync : {"gradients", "average"}, default="gradients"
        "average" is approximate: shards take steps by themselves, as in `DaskMLPClassifier`.
    every : int or "epoch", default="epoch"
        With ``sync="average"``: after how many steps θ are averaged.

    Attributes
    ----------
    note_ : str
        Whether the parameters are exact or approximate.
    coefs_, loss_curve_, … :
        As those of `deltarule.MLPRegressor`.

    Examples
    --------
    >>> import dask.array as da
    >>> from distributed import Client
    >>> from sklearn.datasets import make_regression
    >>> from deltarule.dask import DaskMLPRegressor
    >>> X, y = make_regression(n_samples=200, n_features=20, random_state=1)
    >>> with Client(n_workers=2, processes=False, dashboard_address=":0") as client:
    ...     parts = da.from_array(X, chunks=(50, 20)), da.from_array(y, chunks=50)
    ...     model = DaskMLPRegressor(solver="lbfgs", random_state=1, tol=0.1).fit(*parts)
    >>> model.to_local().score(X, y) > 0.99
    True
    """

    _local_class = MLPRegressor


def _without_names(local: Any) -> Any:
    """Return a copy that takes arrays, whose columns have no names."""
    made = deepcopy(local)
    vars(made).pop("feature_names_in_", None)
    made._model.feature_names = None
    return made


def _call(rows: Any, method: str, local: Any) -> Any:
    """Return what a method of a local estimator returns for a partition's rows."""
    if rows.shape[0] > 0:
        return getattr(local, method)(rows)
    nameless = _without_names(local)
    one = np.zeros((1, local._model.network.n_inputs), local._model.dtype)
    return getattr(nameless, method)(one)[:0]


def _of_frame(X: Any, method: str, model: Any, shown: Any) -> Any:
    """Return the predictions for a dataframe: a series, or a dataframe with a column for each."""
    import pandas as pd

    if shown.ndim == 1:
        meta: Any = pd.Series(shown[:0], name=method)
    else:
        meta = pd.DataFrame(shown[:0])
    return X.map_partitions(_call_frame, method, model, meta=meta)


def _call_frame(rows: Any, method: str, local: Any) -> Any:
    import pandas as pd

    found = _call(rows, method, local)
    if found.ndim == 1:
        return pd.Series(found, index=rows.index, name=method)
    return pd.DataFrame(found, index=rows.index)
