"""A fit on a cluster: the steps of a local fit, with the rows' part of each as tasks."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import reduce
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from deltarule.dask.callback_rows import callback_rows
from deltarule.dask.crew import Crew
from deltarule.dask.interpreter import ClusterData, ClusterInterpreter
from deltarule.dask.parts import Collections, parts_of
from deltarule.dask.rounds import ClusterRounds
from deltarule.dask.workers import (
    Description,
    HoldOut,
    describe,
    held_digests,
    make_shard,
    part_digests,
    part_moments,
    part_totals,
    shard_scores,
)
from deltarule.errors import DataError, SpecError
from deltarule.estimators.base import BaseMLP
from deltarule.estimators.compatibility import check_rows
from deltarule.estimators.fit_checkpoint import (
    begin_stream,
    compare_digests,
    joined_digests,
    open_checkpoints,
)
from deltarule.estimators.fit_data import FitData
from deltarule.estimators.fit_reporter import FitReporter
from deltarule.estimators.fitted_model import FittedModel
from deltarule.estimators.fitting import FitJob, fit_by_steps, fit_whole
from deltarule.estimators.initial_model import new_model
from deltarule.estimators.interpreter_cache import InterpreterCache
from deltarule.estimators.options import FitOptions
from deltarule.estimators.partition_sums import factors_of_classes, metrics_of, scales_of
from deltarule.estimators.preparation import (
    check_partition_options,
    check_parts_held,
    check_total_weight,
)
from deltarule.estimators.sklearn_compat import torn_down
from deltarule.estimators.target_encoder import TargetEncoder
from deltarule.program import Interpreter, State
from deltarule.spec import Shards
from deltarule.training import Metrics
from deltarule.training.config import Validation
from deltarule.training.partitions import PartitionLayout
from deltarule.utils.progress import progress_bar

if TYPE_CHECKING:
    from deltarule.training.checkpoints.writer import CheckpointWriter

__all__ = ["ClusterJob", "cluster_steps", "fit_on_cluster", "owners_of"]


@dataclass(frozen=True)
class ClusterJob(FitJob):
    """A fit whose sums and scores are computed by a cluster."""

    steps: Callable[[Any, Any], Interpreter] | None = None  # (optimizer, clipping) -> interpreter
    measure: Validation | None = None

    def interpreter(self, optimizer: Any = None, clipping: Any = None) -> Interpreter:
        """Return the interpreter of the cluster; of predictions, that of this process."""
        if optimizer is None and not self.options.minimizes:
            return super().interpreter()
        assert self.steps is not None
        return self.steps(optimizer, clipping)

    def metric(self) -> Validation | None:
        """Return what measures the rows held out, there or here."""
        return super().metric() if self.measure is None else self.measure


def fit_on_cluster(
    estimator: BaseMLP, crew: Crew, given: Collections, validation: Collections | None
) -> None:
    """Fit a local estimator, which is not fitted yet, to rows on a cluster."""
    options = estimator._read_options(incremental=False)
    _check(options, estimator, validation)
    with estimator._fit_lock(), torn_down(estimator):
        _Fit(estimator, options, crew, given, validation).run()


class _Prepared(NamedTuple):
    """The rows of a fit, on the workers."""

    data: ClusterData
    shards: Shards
    held: list[Any]  # futures of shards with rows held out
    places: list[list[int]]  # of their partitions
    hold_out: HoldOut | None


class _Fit:
    """One fit."""

    def __init__(
        self,
        estimator: BaseMLP,
        options: FitOptions,
        crew: Crew,
        given: Collections,
        validation: Collections | None,
    ) -> None:
        self.estimator, self.options, self.crew = estimator, options, crew
        self.given, self.validation = given, validation
        self.numeric = estimator._numeric_targets

    def run(self) -> None:
        """Learn what all rows say, prepare them on the workers, and train."""
        options, crew = self.options, self.crew
        dtypes = options.input_types if isinstance(options.input_types, tuple) else (
            options.input_types,
        )  # fmt: skip
        parts = parts_of(crew, self.given, dtypes, numeric=self.numeric)
        known = crew.results([crew.submit("describe", describe, p, self.numeric) for p in parts])
        with self._checkpoints(known) as writer:
            self._fit(parts, known, writer)

    def _checkpoints(
        self, known: list[Description]
    ) -> AbstractContextManager[CheckpointWriter | None]:
        """Open the folder of checkpoints, which a fit on one machine may go on with."""
        options = self.options
        if options.checkpoint is None:
            return nullcontext()
        assert options.shards is not None
        shards = replace(options.shards, partitions=tuple(part.n_rows for part in known))
        same = options._replace(given=dict(options.given) | {"shards": shards})
        return open_checkpoints(same, type(self.estimator).__qualname__, {})

    def _fit(
        self, parts: list[Any], known: list[Description], writer: CheckpointWriter | None
    ) -> None:
        """Fit to parts that are described; resume from a checkpoint if there is one."""
        estimator, options, crew = self.estimator, self.options, self.crew
        first = self._first(known)
        encoder = self._encoder(known)
        random_state = estimator._interpreters.random_stream(estimator.random_state)
        if writer is not None:
            random_state = begin_stream(writer, estimator.random_state, random_state)
        n_outputs = encoder.encode(first.head[1], validated=True).shape[1]
        model = new_model(
            options, encoder, (first.n_features, n_outputs), np.dtype(first.dtype), random_state
        )
        model.feature_names = None if first.names is None else list(first.names)
        prepared = self._prepare(parts, known, model, random_state)
        held, watched = self._held(prepared, model)
        if writer is not None:
            self._compare(writer, parts, watched, model)
        watchers = vars(estimator).get("_skl_callbacks", ())
        shown = callback_rows(crew, watchers, parts, model, prepared.hold_out)
        parts.clear()
        estimator._model, estimator._random_state = model, random_state
        estimator._set_features(model)  # for the estimators that callbacks see
        callbacks = estimator._begin_callbacks(options.epochs, *shown)
        head = prepared.data.head
        job = ClusterJob(
            options,
            model,
            FitData(prepared.data, head, None, None, prepared.shards),  # type: ignore[arg-type]
            random_state,
            estimator._interpreters,
            FitReporter(
                model,
                prepared.data.n_rows,
                callbacks,
                estimator._snapshot,
                records_health=options.record_health,
                verbose=options.verbose,
                bar=progress_bar(options.epochs, sys.stdout) if options.verbose else None,
            ),
            writer,
            steps=cluster_steps(crew, estimator._interpreters, model, options),
            measure=held,
        )
        try:
            if options.minimizes:
                fit_whole(job)
            else:
                fit_by_steps(job)
        finally:
            job.reporter.close()

    def _compare(
        self, writer: CheckpointWriter, parts: list[Any], watched: list[Any], model: FittedModel
    ) -> None:
        """Refuse to resume with other data; each worker describes its own."""
        crew = self.crew
        rows = [crew.submit("digests", part_digests, p, model, i) for i, p in enumerate(parts)]
        own = [crew.submit("digests", held_digests, shard) for shard in watched]
        held: list[dict[str, str]] = [digests for found in crew.results(own) for digests in found]
        compare_digests(
            writer,
            joined_digests(crew.results(rows)),
            joined_digests(held) if held else None,
            model,
            self.options.max_epochs,
        )

    def _first(self, known: list[Description]) -> Description:
        """Return the description of a part with rows; refuse parts that differ."""
        full = [part for part in known if part.n_rows]
        if not full:
            raise DataError("X has no rows in any partition.")
        first = full[0]
        for place, part in enumerate(known):
            if not part.n_rows:
                continue
            for what, here, there in (
                ("features", first.n_features, part.n_features),
                ("columns", first.names, part.names),
                ("sparse rows", first.sparse, part.sparse),
                ("columns of y", first.y_shape, part.y_shape),
                ("dtype", first.dtype, part.dtype),
            ):
                if here != there:
                    raise DataError(
                        f"partition {place} of X has other {what} than the first: {there!r:.80}, "
                        f"not {here!r:.80}. Give all partitions the same form."
                    )
        return first

    def _encoder(self, known: list[Description]) -> TargetEncoder:
        """Return the encoder of the targets of all parts."""
        estimator, full = self.estimator, [part for part in known if part.n_rows]
        if self.numeric:
            return estimator._encoder(None, None, learn=True)
        if full[0].labels is None:  # several labels
            width = full[0].y_shape[0]
            return estimator._encoder(np.array([[0] * width, [1] * width]), None, learn=True)
        labels = np.unique(np.concatenate([part.labels for part in full]))
        return estimator._encoder(np.repeat(labels, 2), None, learn=True)

    def _prepare(
        self, parts: list[Any], known: list[Description], model: FittedModel, random_state: Any
    ) -> _Prepared:
        """Learn scales and class weights, and let the workers prepare their shards."""
        options, crew = self.options, self.crew
        assert options.shards is not None
        hold_out = None
        if options.early_stopping and not options.minimizes and self.validation is None:
            hold_out = HoldOut(int(random_state.randint(2**31)), options.validation_fraction)
        places = range(len(parts))
        counted = crew.results(
            [
                crew.submit("moments", part_moments, p, model, i, hold_out, options.standardize)
                for i, p in zip(places, parts, strict=True)
            ]
        )
        layout = PartitionLayout([part.training for part in counted], _count(options))
        if hold_out is not None:
            check_parts_held(layout.n_rows, sum(part.held for part in counted))
        sparse = next(part.sparse for part in known if part.n_rows)
        if options.standardize:
            model.scales = scales_of(
                [part.moments for part in counted],
                targets=model.targets.can_standardize,
                sparse=sparse,
            )
        factors = factors_of_classes(
            model.targets,
            lambda: crew.results(
                [
                    crew.submit("totals", part_totals, p, model, i, hold_out)
                    for i, p in zip(places, parts, strict=True)
                ]
            ),
        )
        if factors is None:
            check_total_weight(sum(part.weight for part in counted))
        groups = [list(layout.members(group)) for group in range(layout.count)]
        owners = self._owners(parts, groups, layout)
        shards = [
            crew.submit(
                "shard", make_shard, crew.token, model, factors, hold_out, members,
                *(parts[p] for p in members), worker=owner,
            )
            for members, owner in zip(groups, owners, strict=True)
        ]  # fmt: skip
        crew.results([crew.submit("ready", _is_ready, shard) for shard in shards])
        x, y = next(part.head for part in known if part.n_rows)
        head = model.prepare(model.as_block(x, model.targets.encode(y, validated=True), None))
        data = ClusterData(head, layout, shards)
        check_rows(options, head._replace(weight=None), model.network)
        held = shards if hold_out is not None else []
        kept = replace(options.shards, partitions=tuple(layout.lengths))
        return _Prepared(data, kept, held, groups, hold_out)

    def _owners(
        self, parts: list[Any], groups: list[list[int]], layout: PartitionLayout
    ) -> list[str | None]:
        """Return the worker that each shard goes to: equal shares of rows, near their parts."""
        workers = self.crew.workers()
        if not workers:
            return [None] * len(groups)
        holders = self.crew.holders(parts)
        first: dict[str, int] = {}
        for place, holder in enumerate(holders):
            if holder is not None:
                first.setdefault(holder, place)
        workers = sorted(workers, key=lambda worker: (first.get(worker, len(parts)), worker))
        return owners_of(workers, layout)

    def _held(self, prepared: _Prepared, model: FittedModel) -> tuple[Validation | None, list[Any]]:
        """Return what measures a state on the rows held out, or on the user's own; and those."""
        options, crew = self.options, self.crew
        if not options.early_stopping or options.minimizes:
            return None, []
        shards, groups = prepared.held, prepared.places
        if self.validation is not None:
            dtypes = (np.dtype(model.dtype),)
            parts = parts_of(crew, self.validation, dtypes, numeric=self.numeric, suffix="_val")
            groups = [[place] for place in range(len(parts))]
            everything = HoldOut(0, 1.0)
            shards = [
                crew.submit("held", make_shard, crew.token, model, None, everything, [place], part)
                for place, part in enumerate(parts)
            ]
            sizes = crew.results([crew.submit("ready", _is_ready, shard) for shard in shards])
            if sum(sizes) == 0:
                raise DataError("X_val has no rows in any partition.")

        def measure(state: State) -> Metrics:
            theta = np.array(state.theta)

            def tasks() -> list[Any]:
                return [
                    crew.submit("scores", shard_scores, theta, members, shard)
                    for members, shard in zip(groups, shards, strict=True)
                ]

            answers = reduce(list.__add__, crew.ask(tasks))
            parts = [sums for _, sums in sorted(answers, key=lambda pair: pair[0])]
            return metrics_of(parts, model.loss_scale)

        return measure, [] if self.validation is None else shards


def cluster_steps(
    crew: Crew, cache: InterpreterCache, model: FittedModel, options: FitOptions
) -> Callable[[Any, Any], Interpreter]:
    """Return what makes the interpreter of a cluster from an optimiser and its clipping."""
    count = _count(options)
    every = None if options.shards is None else options.shards.every

    def make(optimizer: Any, clipping: Any) -> Interpreter:
        inner: Any = cache.interpreter(
            model.network.tape, optimizer, clipping,
            engine="compiled", n_threads=options.n_threads, shards=Shards(count, every=every),
        )  # fmt: skip
        if every is not None:
            made: Any = ClusterRounds(crew, inner, optimizer, clipping)
        else:
            made = ClusterInterpreter(crew, inner._interpreter, count)
        return made

    return make


def owners_of(workers: list[str], layout: PartitionLayout) -> list[str | None]:
    """Return the worker that each shard goes to: equal shares of rows, in order."""
    if not workers:
        return [None] * layout.count
    owners: list[str | None] = []
    for low, high in zip(layout.row_cuts[:-1], layout.row_cuts[1:], strict=True):
        middle = (int(low) + int(high)) / 2
        place = min(int(middle * len(workers) / layout.n_rows), len(workers) - 1)
        owners.append(workers[place])
    return owners


def _is_ready(shard: Any) -> int:
    """Return how many rows of a shard are held out, once it is there."""
    return sum(block.n_rows for block in shard.held)


def _count(options: FitOptions) -> int:
    assert options.shards is not None
    return options.shards.count


def _check(options: FitOptions, estimator: BaseMLP, validation: Collections | None) -> None:
    """Refuse what a cluster cannot do."""
    if options.shards is None or options.shards.partitions is not None:
        raise SpecError(
            f"shards must be a power of two on a cluster, whose partitions are those of X; got "
            f"{estimator.shards!r:.60}. The default is 8."
        )
    for name, value, remedy in (
        ("warm_start", options.warm_start, "warm_start=False"),
        ("augment", options.augment is not None, "augment=None"),
        ("engine='reference'", options.engine == "reference", "engine='compiled'"),
    ):
        if value:
            raise SpecError(
                f"{name} is not for fits on a cluster. Set {remedy}, or fit a local estimator with "
                "shards=Shards(8, partitions), which computes the same."
            )
    own = validation is not None  # then nothing is held out, whatever the share
    check_partition_options(options._replace(validation_fraction=0.1) if own else options)
    if validation is not None and (not options.early_stopping or options.minimizes):
        raise ValueError(
            "X_val and y_val are what early stopping watches: set early_stopping=True and a solver "
            "that takes steps, or leave them out."
        )
