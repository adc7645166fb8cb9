"""From a table in its files to a fitted model, without ever holding the table.

source = open_source("flights/")
prepared = prepare_stream(source, Plan("delay"))
model = fit_stream(prepared, Settings())
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deltarule import __version__
from deltarule.errors import TableError
from deltarule.estimators import StreamedDataset
from deltarule.tables.evaluation import Evaluation
from deltarule.tables.model import TableModel, one_thread
from deltarule.tables.record import Classes, PreprocessingRecord, TrainingFacts
from deltarule.tables.splits import Shares
from deltarule.tables.streaming.epochs import Examples, Reading, buffer_rows
from deltarule.tables.streaming.scores import Scores
from deltarule.tables.streaming.source import Source
from deltarule.tables.streaming.survey import Question, survey_table
from deltarule.tables.table import show
from deltarule.tables.training import Plan, Settings, derived_seeds, estimator_for, model_of

__all__ = ["PreparedStream", "evaluate_parts", "fit_stream", "prepare_stream"]

DEV_ROWS = 20_000
"""The most dev rows that training watches; all of them are scored in the end."""
READ_ANEW = "the table stays in its files and is read anew in every epoch (docs/streaming.md)"
LARGE = Shares(0.01, 0.01)
"""The shares of ``shares=None``: those of tables with more than 10⁴ rows (maths.md, D1)."""


@dataclass(frozen=True)
class PreparedStream:
    """A table surveyed, and ready to be trained on.

    Attributes
    ----------
    reading : Reading
        How its rows become examples; it has the table and the preprocessing.
    reason : str
        Why it is this task.
    watched : Examples
        The dev rows that training watches.
    facts : TrainingFacts
        Seeds and sizes.
    notes : list of str
        What the user should know.
    """

    reading: Reading
    reason: str
    watched: Examples
    facts: TrainingFacts
    notes: list[str]

    @property
    def preprocessing(self) -> PreprocessingRecord:
        """What was learned from the training rows."""
        return self.reading.preprocessing


def prepare_stream(source: Source, plan: Plan) -> PreparedStream:
    """Read a table twice: to learn about its columns, and to take the dev rows to be watched.

    Which part a row is in is a draw by its number: the shares are met as closely as chance has it,
    and classes are not balanced between the parts. Means and variances are those of all training
    rows. The median, which takes the place of missing numbers, is that of a uniform sample of
    16 384 of them (fewer, but at least 1024, of more than 256 columns), exact for tables that are
    smaller.

    Parameters
    ----------
    source : Source
        From `open_source`.
    plan : Plan
        What to learn.

    Raises
    ------
    TableError
        If the table cannot be learned from; the message says what to change.
    """
    split_seed, network_seed = derived_seeds(plan.seed)
    shares = plan.shares or LARGE
    question = Question(plan.target, _features(source, plan), plan.task, shares, split_seed)
    survey = survey_table(source, question, DEV_ROWS)
    reading = Reading(source, survey.preprocessing, shares, split_seed)
    watched = reading.dev_sample(survey.dev_limit)
    notes = [READ_ANEW, *survey.notes]
    if len(watched.y) < survey.parts[1]:
        notes.append(
            f"training watches {len(watched.y)} of the {survey.parts[1]} dev rows, drawn at random"
        )
    facts = TrainingFacts(
        deltarule=__version__,
        seed=plan.seed,
        split_seed=split_seed,
        network_seed=network_seed,
        training_rows=survey.parts[0],
        dev_rows=survey.parts[1],
        test_rows=survey.parts[2],
    )
    return PreparedStream(reading, survey.reason, watched, facts, notes)


def fit_stream(
    prepared: PreparedStream, settings: Settings, callbacks: tuple[Any, ...] = ()
) -> TableModel:
    """Train a network as `fit` does, on rows that are read anew in every epoch.

    Parameters
    ----------
    prepared : PreparedStream
        From `prepare_stream`.
    settings : Settings
        The network and how it is trained.
    callbacks : tuple
        They follow scikit-learn's ``FitCallback``.

    Returns
    -------
    TableModel
        A model like any other.

    Raises
    ------
    SpecError, DivergenceError, TableError, KeyboardInterrupt
        As `fit`; and if the files change in the meantime.
    """
    target, width = prepared.preprocessing.target, prepared.watched.X.shape[1]
    estimator = estimator_for(target, prepared.facts, settings).set_params(shuffle=False)
    if callbacks:
        estimator.set_callbacks(*callbacks)
    size = buffer_rows(width, estimator.batch_size)

    def of_epoch(epoch: int) -> Iterator[tuple[Any, Any]]:
        for X, y in prepared.reading.epoch(epoch, size):
            yield X, target.to_network(y)

    y: NDArray[Any] = np.arange(len(target.labels)) if isinstance(target, Classes) else np.zeros(2)
    rows, head = prepared.facts.training_rows, np.zeros((len(y), width))
    dataset = StreamedDataset(rows, of_epoch, prepared.reading.identity, head, y)
    with one_thread():
        watched = prepared.watched
        estimator.fit_streamed(dataset, watched.X, target.to_network(watched.y))
    return model_of(prepared.preprocessing, estimator, prepared.facts)


def evaluate_parts(model: TableModel, prepared: PreparedStream) -> dict[str, Evaluation]:
    """Score all dev rows, and all test rows if there are any, in a pass each."""
    found = {}
    for number, name in ((1, "dev"), (2, "test")):
        if (prepared.facts.dev_rows, prepared.facts.test_rows)[number - 1]:
            scores = Scores(model.target)
            for X, y in prepared.reading.part(number):
                scores.add(model.respond(X), y)
            found[name] = scores.evaluation([])
    return found


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
