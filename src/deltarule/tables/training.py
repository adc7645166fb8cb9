"""From a table to a fitted model, in two steps with room between them to tell the user.

prepared = prepare(read_table("penguins.csv"), Plan("species"))
model = fit(prepared, Settings())
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deltarule import __version__
from deltarule.errors import SpecError, TableError
from deltarule.estimators import MLPClassifier, MLPRegressor, from_record
from deltarule.tables.evaluation import Evaluation
from deltarule.tables.model import TableModel, one_thread
from deltarule.tables.preprocessing import fit_columns, parse_features, rare_below, transform
from deltarule.tables.record import Classes, PreprocessingRecord, Quantity, Task, TrainingFacts
from deltarule.tables.schema import infer_kinds, row_counters
from deltarule.tables.splits import Shares, Split, split_rows
from deltarule.tables.table import Table, listing, show
from deltarule.tables.targets import (
    Target,
    class_codes,
    fit_quantity,
    learn_classes,
    read_target,
)
from deltarule.training import Checkpoint
from deltarule.training.splits import default_fractions

__all__ = [
    "Part",
    "Plan",
    "Prepared",
    "Settings",
    "estimator_for",
    "fit",
    "model_of",
    "prepare",
    "score_parts",
]


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
        The shares held out for dev and test; None for 60/20/20 up to 10⁴ rows and 98/1/1 above.
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
class Part:
    """Transformed rows: inputs, and class numbers or quantities in their own unit."""

    X: NDArray[np.float64]
    y: NDArray[Any]


@dataclass(frozen=True)
class Prepared:
    """A table made ready for training.

    Attributes
    ----------
    target : Target
        The parsed target.
    preprocessing : PreprocessingRecord
        What was learned from the training rows.
    split : Split
        The rows of each part, as numbers into ``target.rows``.
    training, dev, test : Part
        The transformed rows.
    facts : TrainingFacts
        Seeds and sizes.
    notes : list of str
        What the user should know.
    """

    target: Target
    preprocessing: PreprocessingRecord
    split: Split
    training: Part
    dev: Part
    test: Part
    facts: TrainingFacts
    notes: list[str]

    @property
    def reason(self) -> str:
        """Why it is this task."""
        return self.target.reason


def prepare(table: Table, plan: Plan) -> Prepared:
    """Parse, split and transform a table. The preprocessing sees the training rows alone.

    Raises
    ------
    TableError
        If the table cannot be learned from; the message says what to change.
    """
    target = read_target(table, plan.target, plan.task)
    kinds = infer_kinds(table, _features(table, plan))
    features = parse_features(table, kinds)
    split_seed, network_seed = derived_seeds(plan.seed)
    classes = target.task == "classification"
    shares = plan.shares or Shares(*default_fractions(len(target.rows))[1:])
    labels = target.values if classes else None
    split = split_rows(len(target.rows), shares, split_seed, labels)

    columns = fit_columns(features, kinds, target.rows[split.training])
    record: Classes | Quantity
    if classes:
        record = learn_classes(target)
        y: NDArray[Any] = class_codes(record, target.values)
    else:
        y = target.values
        record = fit_quantity(target.name, y[split.training])
    preprocessing = PreprocessingRecord(
        fill_with="median",
        rare_below=rare_below(len(split.training)),
        columns=columns,
        target=record,
    )

    def part(rows: NDArray[np.intp]) -> Part:
        return Part(transform(columns, features, target.rows[rows])[0], y[rows])

    facts = TrainingFacts(
        deltarule=__version__,
        seed=plan.seed,
        split_seed=split_seed,
        network_seed=network_seed,
        training_rows=len(split.training),
        dev_rows=len(split.dev),
        test_rows=len(split.test),
    )
    return Prepared(
        target=target,
        preprocessing=preprocessing,
        split=split,
        training=part(split.training),
        dev=part(split.dev),
        test=part(split.test),
        facts=facts,
        notes=_notes(table, target, list(kinds)),
    )


class _LikelihoodBreaksTies(MLPClassifier):
    """A classifier that takes, among epochs of equal dev accuracy, the one of least log loss.

    Small dev parts give every epoch one of a few accuracies; the first epoch that reaches the
    highest is seldom the best. The scores are lower than the accuracy by a millionth of the loss.
    """

    def _score_targets(self, targets: Any, outputs: Any, weight: Any) -> float:
        accuracy = super()._score_targets(targets, outputs, weight)
        P = np.hstack([1 - outputs, outputs]) if outputs.shape[1] == 1 else outputs
        codes = targets[:, 0] if outputs.shape[1] == 1 else targets.argmax(axis=1)
        true = P[np.arange(len(P)), codes.astype(np.intp)]
        return accuracy - 1e-6 * float(-np.log(np.maximum(true, 1e-12)).mean())


def fit(prepared: Prepared, settings: Settings, callbacks: tuple[Any, ...] = ()) -> TableModel:
    """Train a network on prepared rows, stopping early on the dev rows and keeping the best.

    Parameters
    ----------
    prepared : Prepared
        The rows.
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
    KeyboardInterrupt
        If it comes before the first epoch has ended; later ones leave the best network so far.
    """
    training, dev = prepared.training, prepared.dev
    estimator = estimator_for(prepared.preprocessing.target, prepared.facts, settings)
    if callbacks:
        estimator.set_callbacks(*callbacks)
    learn = prepared.preprocessing.target.to_network
    with one_thread():
        estimator.fit(training.X, learn(training.y), X_val=dev.X, y_val=learn(dev.y))
    return model_of(prepared.preprocessing, estimator, prepared.facts)


def model_of(record: PreprocessingRecord, estimator: Any, facts: TrainingFacts) -> TableModel:
    """Return the model of a fit that has ended.

    Raises
    ------
    KeyboardInterrupt
        If no epoch has ended: the fit took Ctrl-C, and its network is as it was drawn.
    """
    if not estimator.validation_scores_:
        raise KeyboardInterrupt
    # What is kept is what a file would hold, so that a model behaves the same before and after.
    return TableModel(record, from_record(*estimator.to_record()), facts)


def score_parts(model: TableModel, prepared: Prepared) -> dict[str, Evaluation]:
    """Score the rows held out: the dev part, and the test part if there is one."""
    parts = {"dev": model.compare(prepared.dev.X, prepared.dev.y)}
    if len(prepared.test.y):
        parts["test"] = model.compare(prepared.test.X, prepared.test.y)
    return parts


def derived_seeds(seed: int) -> tuple[int, int]:
    """Return the seeds of the split and of the network that follow from one seed."""
    split_seed, network_seed = np.random.SeedSequence(seed).generate_state(2)
    return int(split_seed), int(network_seed)


def _features(table: Table, plan: Plan) -> list[str]:
    for name in plan.ignore:
        table.column(name, "given with --ignore")
    left = [name for name in table.columns if name not in {plan.target, *plan.ignore}]
    if not left:
        raise TableError(
            f"{table.path} has no column left to learn {show(plan.target)} from; "
            "ignore fewer columns, or add some"
        )
    return left


def _notes(table: Table, target: Target, names: list[str]) -> list[str]:
    notes = []
    if target.dropped:
        notes.append(f"{target.dropped} rows without a target were left out")
    counters = row_counters(table, names)
    if counters:
        notes.append(f"{listing(counters)} only counts the rows; consider --ignore")
    return notes


def estimator_for(target: Classes | Quantity, facts: TrainingFacts, settings: Settings) -> Any:
    """Return the estimator, not yet fitted, that the settings ask for."""
    rows = facts.training_rows
    batch = settings.batch_size or default_batch(rows)
    if not settings.hidden or min(settings.hidden) < 1:
        raise SpecError("hidden must be widths of at least 1, such as 64,32 (--hidden)")
    kind: type[Any] = _LikelihoodBreaksTies if isinstance(target, Classes) else MLPRegressor
    return kind(
        hidden_layer_sizes=settings.hidden,
        activation=settings.activation,
        solver="adam",
        alpha=settings.alpha,
        batch_size=min(batch, rows),
        learning_rate_init=settings.learning_rate,
        max_iter=settings.epochs,
        random_state=facts.network_seed,
        early_stopping=True,
        n_iter_no_change=settings.patience,
        checkpoint=settings.checkpoint,
    )


def default_batch(rows: int) -> int:
    """Return a power of two between 16 and 256 that gives some twenty steps an epoch or more."""
    return int(2 ** np.clip(np.floor(np.log2(max(rows, 1) / 20)), 4, 8))
