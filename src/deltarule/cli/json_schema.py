"""The schema of the objects that ``--json`` prints, one for each command (docs/cli.md)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from deltarule.tables.record import DateNotation, NumberNotation, Task

__all__ = ["OUTPUT", "json_schema"]

Count = Annotated[int, Field(ge=0)]
Score = float | None
"""A number; null if the rows do not define it."""
Part = Literal["dev", "out_of_fold", "test"]


class _Object(BaseModel):
    """An object without unknown keys."""

    model_config = ConfigDict(extra="forbid", strict=True)


class _Column(_Object):
    """What a column was taken for."""

    name: str
    kind: Literal["number", "boolean", "date", "category", "left_out", "unclear"]
    missing: Count
    marks: dict[str, Count]
    categories: Count | None = None
    reason: str = ""
    notation: NumberNotation | DateNotation | None = None


class _Rows(_Object):
    """The rows of each part."""

    training: Count
    dev: Count
    test: Count


class _Split(_Object):
    """The times with which the parts of a split by time begin."""

    time: str
    dev_from: str
    test_from: str | None


class _Seeds(_Object):
    seed: Count
    split: Count
    network: Count


class _Network(_Object):
    """The shape of a trained network, and how its training ended."""

    widths: list[Count]
    parameters: Count
    epochs: Count
    best_epoch: Count


class _Class(_Object):
    """The scores of a class."""

    precision: Score
    recall: Score
    f1: Score
    rows: Count
    average_precision: Score = None


class _Scores(_Object):
    rows: Count
    beats_baseline: bool | None


class _ClassScores(_Scores):
    accuracy: Score
    baseline_accuracy: Score
    log_loss: Score
    baseline_log_loss: Score
    classes: dict[str, _Class]


class _BinaryScores(_ClassScores):
    """The scores of two classes."""

    roc_auc: Score
    baseline_roc_auc: Score
    average_precision: Score
    baseline_average_precision: Score
    positive_class: str


class _MulticlassScores(_ClassScores):
    """The scores of several classes."""

    macro_f1: Score
    baseline_macro_f1: Score


class _NumberScores(_Scores):
    """The scores of numbers."""

    r2: Score
    baseline_r2: Score
    rmse: Score
    baseline_rmse: Score
    mae: Score
    baseline_mae: Score


_AnyScores = _BinaryScores | _MulticlassScores | _NumberScores


class _Output(_Object):
    notes: list[str]


class _Fitted(_Output):
    """What ``train`` and ``tune`` print."""

    table: str
    target: str
    task: Task
    columns: list[_Column]
    inputs: Count
    rows: _Rows
    split: _Split | None = None
    seeds: _Seeds
    classes: list[str] | None = None
    network: _Network
    networks: list[_Network]
    scores: dict[Part, _AnyScores]
    model: str
    pictures: list[str] = []


class _Train(_Fitted):
    """What ``train`` prints."""

    command: Literal["train"]


class _Recipe(_Object):
    """The settings of a network."""

    hidden_layer_sizes: list[Count]
    activation: str
    learning_rate_init: float
    dropout: float
    weight_decay: float


class _Trial(_Object):
    """A recipe that a search has tried; the loss of those that are not complete is null."""

    number: Count
    recipe: _Recipe | dict[str, Any]
    loss: Score
    outcome: Literal["complete", "pruned", "stopped", "failed"]


class _Search(_Object):
    """What a search has found: recipes in turn, none if the defaults are better."""

    loss: float
    default_loss: float
    recipes: list[_Recipe]
    trials: list[_Trial]


class _Tune(_Fitted):
    """What ``tune`` prints."""

    command: Literal["tune"]
    search: _Search


class _Describe(_Output):
    """What ``describe`` prints."""

    command: Literal["describe"]
    table: str
    rows: Count
    columns: list[_Column]
    target: str | None = None
    task: Task | None = None
    classes: dict[str, Count] | None = None
    pictures: list[str] = []
    problem: str | None = None


class _Evaluate(_Output):
    """What ``evaluate`` prints; the key of ``scores`` is the table's name."""

    command: Literal["evaluate"]
    scores: dict[str, _AnyScores]


class _Predict(_Output):
    """What ``predict`` prints."""

    command: Literal["predict"]
    predictions: Count
    output: str


class _Export(_Output):
    """What ``export`` prints."""

    command: Literal["export"]
    output: str
    dtype: Literal["float32", "float64"]
    opset: Count
    inputs: list[str]
    outputs: list[str]


class _Check(_Output):
    """What ``check`` prints."""

    command: Literal["check"]
    verdict: Literal["right", "wrong", "cannot tell"]
    error: Score
    tolerance: float
    floor: Score
    n_checked: Count
    n_kinks: Count
    n_parameters: Count
    worst: str
    worst_numeric: Score
    worst_analytic: Score


class _Explain(_Output):
    """What ``explain`` prints."""

    command: Literal["explain"]
    output: str


class _Plot(_Output):
    """What ``plot`` prints."""

    command: Literal["plot"]
    pictures: list[str]


OUTPUT: TypeAdapter[Any] = TypeAdapter(
    Annotated[
        _Train | _Tune | _Describe | _Evaluate | _Predict | _Export | _Check | _Explain | _Plot,
        Field(discriminator="command"),
    ]
)
"""Validates the object of any command."""


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of the objects of all commands."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "What a command of deltarule prints with --json",
        **OUTPUT.json_schema(),
    }
