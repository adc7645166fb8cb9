"""From a table to a fitted model, in two steps with room between them to tell the user.

prepared = prepare(read_table("penguins.csv"), Plan("species"))
model = fit(prepared, Settings())

A table in memory and a table in its files (`open_source`) go the same way. Two things differ,
because a table in its files is never held in memory: its rows are split by the hash of their
numbers, where a table in memory is split exactly; and training reads its rows again in every
epoch, through a shuffle buffer, where all rows of a table in memory are shuffled together.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deltarule.errors import SpecError, TableError
from deltarule.estimators import MLPClassifier, MLPRegressor, StreamedDataset, from_record
from deltarule.estimators.class_targets import ClassTargets
from deltarule.tables.batches import ExampleReader, Examples, buffer_rows
from deltarule.tables.evaluation import Evaluation, Scores
from deltarule.tables.messages import show
from deltarule.tables.model import TableModel, one_thread
from deltarule.tables.profile.column import PieceRows
from deltarule.tables.profile.table import profile_table
from deltarule.tables.profile.target import TargetProfile
from deltarule.tables.record import Classes, PreprocessingRecord, Provenance, Quantity, Task
from deltarule.tables.split import ExactSplit, RowHashSplit, Shares, Split
from deltarule.tables.table import Source, Table
from deltarule.tables.targets import class_labels
from deltarule.training import Checkpoint
from deltarule.training.splits import default_fractions
from deltarule.version import __version__

__all__ = ["Plan", "Prepared", "Settings", "fit", "prepare", "score_parts"]

READ_AGAIN = "the table stays in its files and is read again in every epoch (docs/streaming.md)"
LARGE = Shares(0.01, 0.01)
"""Of a table in its files, ``shares=None``: as of tables with more than 10⁴ rows (maths.md, D1)."""


@dataclass(frozen=True)
class Plan:
    """What to learn from a table, and from which of its rows.

    Attributes
    ----------
    target : str
        The column to predict.
    task : {"classification", "regression"}, optional
        The task; by default the target decides.
    ignore : tuple of str
        Columns to leave out.
    shares : Shares or None
        The shares held out for dev and test; None for 60/20/20 up to 10⁴ rows and 98/1/1 above
        (of a table in its files, whose rows are not counted beforehand: 98/1/1).
    seed : int
        All other seeds derive from this one.
    """

    target: str
    task: Task | None = None
    ignore: tuple[str, ...] = ()
    shares: Shares | None = field(default=Shares(0.1, 0.0))
    seed: int = 0


@dataclass(frozen=True)
class Settings:
    """The network and how it is trained; the defaults suit tables of a hundred rows and more.

    The names are those of the command line; see ``deltarule train --help``.
    """

    hidden: tuple[int, ...] = (128, 64)
    activation: str = "relu"
    epochs: int = 500
    learning_rate: float = 0.001
    batch_size: int | None = None
    alpha: float = 0.3
    patience: int = 50
    checkpoint: Checkpoint | None = None


@dataclass(frozen=True)
class Prepared:
    """A table profiled and split, ready for training.

    Attributes
    ----------
    reader : ExampleReader
        Reads the rows of each part as examples.
    reason : str
        Why it is this task.
    dev : Examples
        The dev rows that training watches.
    provenance : Provenance
        Seeds and sizes.
    notes : list of str
        What the user should know.
    """

    reader: ExampleReader
    reason: str
    dev: Examples
    provenance: Provenance
    notes: list[str]

    @property
    def preprocessing(self) -> PreprocessingRecord:
        """What was learned from the training rows."""
        return self.reader.preprocessing


def prepare(source: Source, plan: Plan) -> Prepared:
    """Profile and split a table. The preprocessing is learned from the training rows alone.

    A table in its files is read twice: to profile it, and to take the dev rows to be watched. The
    median of a column, which takes the place of missing numbers, then is that of a uniform sample
    of 16 384 training rows (fewer, but at least 1024, of more than 256 columns); it is exact for
    tables that are smaller or in memory.

    Parameters
    ----------
    source : Source
        From `read_table` or `open_source`.
    plan : Plan
        What to learn.

    Raises
    ------
    TableError
        If the table cannot be learned from; the message says what to change.
    """
    split_seed, network_seed = _derived_seeds(plan.seed)
    features = _features(source, plan)
    split: Split
    if source.in_memory:
        split = _exact_split(next(source.scan()).table, plan, split_seed)
    else:
        split = RowHashSplit(plan.shares or LARGE, split_seed)
    profile = profile_table(source, plan.target, features, plan.task, split)
    reader = ExampleReader(source, profile.preprocessing, split)
    dev = reader.whole_part("dev", profile.dev_limit)
    notes = profile.notes if source.in_memory else [READ_AGAIN, *profile.notes]
    if len(dev.y) < profile.parts[1]:
        notes.append(
            f"training watches {len(dev.y)} of the {profile.parts[1]} dev rows, drawn at random"
        )
    provenance = Provenance(
        deltarule=__version__,
        seed=plan.seed,
        split_seed=split_seed,
        network_seed=network_seed,
        training_rows=profile.parts[0],
        dev_rows=profile.parts[1],
        test_rows=profile.parts[2],
    )
    return Prepared(reader, profile.reason, dev, provenance, notes)


def _exact_split(table: Table, plan: Plan, seed: int) -> ExactSplit:
    """Return the split of a table in memory, with the classes of its target in proportion."""
    target = table.column(plan.target)
    profile = TargetProfile(plan.target, table.path)
    no_rows = PieceRows(np.zeros(table.rows, dtype=bool), np.zeros(table.rows), last=True)
    profile.add(target, no_rows)  # what decides the task is learned from all rows
    rows = np.flatnonzero(target.not_missing)
    labels = None
    if profile.decide(plan.task).task == "classification":
        texts = class_labels(target, rows, numeric=bool(target.is_number[rows].all()))
        labels = np.array(texts.to_pylist(), dtype=np.str_)
    shares = plan.shares or Shares(*default_fractions(len(rows))[1:])
    return ExactSplit.draw(target, shares, seed, labels)


class _ScoreWithLogLoss(ClassTargets):
    """Targets whose score prefers, among epochs of equal dev accuracy, that of least log loss.

    Small dev parts give every epoch one of a few accuracies; the first epoch that reaches the
    highest is seldom the best. The scores are lower than the accuracy by a millionth of the loss.
    """

    def score(self, targets: Any, outputs: Any, weight: Any) -> float:
        accuracy = super().score(targets, outputs, weight)
        P = np.hstack([1 - outputs, outputs]) if outputs.shape[1] == 1 else outputs
        codes = targets[:, 0] if outputs.shape[1] == 1 else targets.argmax(axis=1)
        true = P[np.arange(len(P)), codes.astype(np.intp)]
        return accuracy - 1e-6 * float(-np.log(np.maximum(true, 1e-12)).mean())


class _TableClassifier(MLPClassifier):
    """A classifier that stops early by ``_ScoreWithLogLoss``."""

    def _encoder(self, y: Any, known: Any, *, learn: bool) -> ClassTargets:
        encoder = super()._encoder(y, known, learn=learn)
        parts = {part.name: getattr(encoder, part.name) for part in fields(encoder)}
        return _ScoreWithLogLoss(**parts)


def fit(prepared: Prepared, settings: Settings, callbacks: tuple[Any, ...] = ()) -> TableModel:
    """Train a network, stopping early on the dev rows, and return the best of all epochs.

    Parameters
    ----------
    prepared : Prepared
        From `prepare`.
    settings : Settings
        The network and how it is trained.
    callbacks : tuple
        They follow scikit-learn's ``FitCallback``.

    Returns
    -------
    TableModel

    Raises
    ------
    SpecError
        If a setting makes no sense.
    CheckpointError, OutputError
        If the folder of checkpoints is of another training, or cannot be written to.
    DivergenceError
        If the loss becomes infinite.
    TableError
        If the files change in the meantime.
    KeyboardInterrupt
        If it comes before the first epoch has ended. Later ones end the training, and the best
        network so far is returned.

    Examples
    --------
    >>> from deltarule.datasets import penguins_path
    >>> from deltarule.tables import Plan, Settings, fit, prepare, read_table
    >>> table = read_table(penguins_path())
    >>> model = fit(prepare(table, Plan("species")), Settings(hidden=(8,), patience=5))
    >>> model.predict(table).values[0]
    np.str_('Adelie')
    """
    record, dev = prepared.preprocessing, prepared.dev
    estimator = _estimator(record.target, prepared.provenance, settings)
    if callbacks:
        estimator.set_callbacks(*callbacks)
    learn = record.target.to_network
    with one_thread():
        if prepared.reader.source.in_memory:
            training = prepared.reader.whole_part("training")
            estimator.fit(training.X, learn(training.y), X_val=dev.X, y_val=learn(dev.y))
        else:
            estimator.set_params(shuffle=False)
            dataset = _dataset(prepared, estimator.batch_size)
            estimator.fit_streamed(dataset, dev.X, learn(dev.y))
    if not estimator.validation_scores_:
        raise KeyboardInterrupt  # the fit took it, before an epoch had ended
    # The same estimator as a file would hold, so that a model behaves the same after loading.
    return TableModel(record, from_record(*estimator.to_record()), prepared.provenance)


def _dataset(prepared: Prepared, batch_size: int) -> StreamedDataset:
    """Return the training rows as blocks that are read again in every epoch."""
    reader, target = prepared.reader, prepared.preprocessing.target
    width = prepared.dev.X.shape[1]
    size = buffer_rows(width, batch_size)

    def of_epoch(epoch: int) -> Iterator[tuple[Any, Any]]:
        for X, y in reader.epoch(epoch, size):
            yield X, target.to_network(y)

    y: NDArray[Any] = np.arange(len(target.labels)) if isinstance(target, Classes) else np.zeros(2)
    head = np.zeros((len(y), width))
    return StreamedDataset(prepared.provenance.training_rows, of_epoch, reader.identity, head, y)


def score_parts(model: TableModel, prepared: Prepared) -> dict[str, Evaluation]:
    """Return the scores on the rows held out: the dev part, and the test part if there is one."""
    found = {}
    held_out = {"dev": prepared.provenance.dev_rows, "test": prepared.provenance.test_rows}
    for name in (name for name, rows in held_out.items() if rows):
        scores = Scores(model.target)
        for X, y in prepared.reader.part(name):
            scores.add(model.respond(X), y)
        found[name] = scores.evaluation()
    return found


def _derived_seeds(seed: int) -> tuple[int, int]:
    """Return the seeds of the split and of the network that follow from one seed."""
    split_seed, network_seed = np.random.SeedSequence(seed).generate_state(2)
    return int(split_seed), int(network_seed)


def _features(source: Source, plan: Plan) -> list[str]:
    source.check_column(plan.target)
    for name in plan.ignore:
        source.check_column(name, "given with --ignore")
    left = [name for name in source.names if name not in {plan.target, *plan.ignore}]
    if not left:
        raise TableError(
            f"{source.path} has no column left to learn {show(plan.target)} from; "
            "ignore fewer columns, or add some"
        )
    return left


def _estimator(target: Classes | Quantity, provenance: Provenance, settings: Settings) -> Any:
    """Return the estimator that the settings ask for, not yet fitted."""
    rows = provenance.training_rows
    batch = settings.batch_size or _default_batch(rows)
    if not settings.hidden or min(settings.hidden) < 1:
        raise SpecError("hidden must be widths of at least 1, such as 64,32 (--hidden)")
    kind: type[Any] = _TableClassifier if isinstance(target, Classes) else MLPRegressor
    return kind(
        hidden_layer_sizes=settings.hidden,
        activation=settings.activation,
        solver="adam",
        alpha=settings.alpha,
        batch_size=min(batch, rows),
        learning_rate_init=settings.learning_rate,
        max_iter=settings.epochs,
        random_state=provenance.network_seed,
        early_stopping=True,
        n_iter_no_change=settings.patience,
        checkpoint=settings.checkpoint,
    )


def _default_batch(rows: int) -> int:
    """Return a power of two between 16 and 256 that gives some twenty steps an epoch or more."""
    return int(2 ** np.clip(np.floor(np.log2(max(rows, 1) / 20)), 4, 8))
