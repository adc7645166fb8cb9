"""The options of the commands, in groups: their types, defaults, help and parsing.

A group is a panel of ``--help`` (`deltarule.cli.groups`).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from deltarule.cli.network_options import NetworkOptions
from deltarule.cli.reading_options import CellOptions
from deltarule.cli.stdio import STREAM, is_stream

if TYPE_CHECKING:
    from deltarule.tables import Plan, Settings, Shares
    from deltarule.tables.record import Task
    from deltarule.training import Checkpoint

__all__ = [
    "CheckpointOptions",
    "DataOptions",
    "DescribeOptions",
    "Dtype",
    "MemberOption",
    "ModelArgument",
    "TableArgument",
    "TrainingOptions",
    "Unseen",
    "UnseenOption",
    "parse_path",
    "settings",
]


ROUNDING = 0.002
"""Shares may differ so much from 100 % together, as 33.3/33.3/33.3 do."""


class TaskName(StrEnum):
    """The tasks that a network can learn."""

    classification = "classification"
    regression = "regression"


class Dtype(StrEnum):
    """The types of an exported graph."""

    float32 = "float32"
    float64 = "float64"


class Watched(StrEnum):
    """What stops training."""

    loss = "loss"
    score = "score"


class Unseen(StrEnum):
    """What to do with categories that training did not see."""

    other = "other"
    error = "error"


def parse_path(text: str) -> Path:
    """Return the path in a text.

    Only the text ``-`` means a standard stream; ``./-`` is the file, as an absolute path.
    """
    found = Path(text)
    return found.absolute() if is_stream(found) and text != str(STREAM) else found


TableArgument = Annotated[
    Path,
    typer.Argument(
        metavar="TABLE",
        parser=parse_path,
        help="A CSV or Parquet file, or a folder of them; - for standard input.",
    ),
]
ModelArgument = Annotated[
    Path, typer.Argument(metavar="MODEL", help="A model written by deltarule train.")
]
MemberOption = Annotated[
    int,
    typer.Option(min=1, metavar="N", help="Which network of an ensemble.", rich_help_panel="Data"),
]
UnseenOption = Annotated[
    Unseen,
    typer.Option(
        help="Categories that training did not see: treat them as 'other', or stop.",
        rich_help_panel="Data",
    ),
]


IgnoreOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="COL", help="A column to leave out; repeatable, a pattern such as id_* too."
    ),
]


@dataclass(frozen=True)
class DescribeOptions:
    """Data."""

    target: Annotated[
        str | None, typer.Option("--target", "-t", help="The column that would be predicted.")
    ] = None
    ignore: IgnoreOption = None
    stream: Annotated[
        bool | None,
        typer.Option(
            "--stream/--no-stream",
            help="Leave the table in its files; by default if it is large, or a folder.",
        ),
    ] = None


@dataclass(frozen=True)
class DataOptions:
    """Data."""

    target: Annotated[str, typer.Option("--target", "-t", help="The column to predict.")]
    task: Annotated[
        TaskName | None,
        typer.Option(
            help="By default texts, true/false and whole numbers with at most 20 values are "
            "classes; other numbers are quantities."
        ),
    ] = None
    ignore: IgnoreOption = None
    test: Annotated[
        str | None,
        typer.Option(metavar="FRACTION|FILE", help="Hold out test rows, or test on another table."),
    ] = None
    dev: Annotated[
        float | None,
        typer.Option(
            metavar="FRACTION",
            help="Share of the rows that decides when one network stops, which another share than "
            "0.1 makes it [default of one: 0.1].",
        ),
    ] = None
    split: Annotated[
        str | None,
        typer.Option(
            metavar="auto|A/B/C|time:COL",
            help="Training/dev/test; auto is 60/20/20 up to 10000 rows, 98/1/1 above; time:COL "
            "holds out the last rows by a column of dates or numbers.",
        ),
    ] = None
    stream: Annotated[
        bool | None,
        typer.Option(
            "--stream/--no-stream",
            help="Leave the table in its files and read it again in every epoch; by default if it "
            "would take more than half of the free memory, or is a folder.",
        ),
    ] = None

    def plan(self, seed: int, cells: CellOptions) -> Plan:
        """Return what to learn, and from which rows."""
        from deltarule.tables import Plan

        fraction, _ = _parse_test(self.test)
        time = _parse_time(self.split)
        if time is None:
            shares = _parse_shares(self.split, self.dev, fraction)
        elif self.dev is None and self.test is None:
            shares = None
        else:
            shares = _parse_shares(None, self.dev, fraction)
        return Plan(
            self.target,
            cast("Task | None", self.task and self.task.value),
            tuple(self.ignore or ()),
            shares,
            seed,
            cells.reading(),
            time,
        )

    @property
    def test_table(self) -> Path | None:
        """The table to test on, if --test names one."""
        return _parse_test(self.test)[1]


@dataclass(frozen=True)
class TrainingOptions:
    """Training."""

    epochs: Annotated[
        int | None, typer.Option(min=1, help="The most passes over the rows [default of one: 500].")
    ] = None
    learning_rate: Annotated[
        float | None, typer.Option(help="Adam's step size [default of one: 0.001].")
    ] = None
    batch_size: Annotated[
        int | None,
        typer.Option(min=1, help="Rows per step; by default 16 to 256, by the table's size."),
    ] = None
    alpha: Annotated[
        float | None,
        typer.Option(min=0, help="Weight of the squared (L2) penalty [default of one: 0.3]."),
    ] = None
    patience: Annotated[
        int | None,
        typer.Option(
            min=1, help="Epochs without a better dev score before stopping [default of one: 50]."
        ),
    ] = None
    monitor: Annotated[
        Watched | None,
        typer.Option(
            help="What stops training, on rows that it does not learn from [default: the loss for "
            "an ensemble, the score for one network]."
        ),
    ] = None
    time: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS",
            help="Train for so long at most: fewer networks, or epochs, if there is no time.",
        ),
    ] = None
    seed: Annotated[int, typer.Option(min=0, help="All randomness follows from it.")] = 0


@dataclass(frozen=True)
class CheckpointOptions:
    """Checkpoints."""

    checkpoint: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Write checkpoints there, to resume from."),
    ] = None
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Resume from the newest checkpoint, if there is one."),
    ] = False
    every_epochs: Annotated[int | None, typer.Option(min=1, help="Epochs between checkpoints.")] = (
        None
    )
    every_seconds: Annotated[
        float | None,
        typer.Option(
            min=0, help="Seconds between checkpoints [default: 60, unless epochs are given]."
        ),
    ] = None
    keep_last: Annotated[
        int | None,
        typer.Option(
            min=1, help="How many checkpoints to keep, in addition to the best [default: 3]."
        ),
    ] = None
    exact: Annotated[
        bool,
        typer.Option(
            "--exact", help="Refuse to resume where the bits may differ, as on another processor."
        ),
    ] = False

    def policy(self) -> Checkpoint | None:
        """Return where and how often to write checkpoints; None without --checkpoint."""
        others = (self.every_epochs, self.every_seconds, self.keep_last)
        if self.checkpoint is None:
            if self.resume or self.exact or any(given is not None for given in others):
                raise typer.BadParameter(
                    "--resume, --every-epochs, --every-seconds, --keep-last and --exact go with "
                    "--checkpoint FOLDER",
                    param_hint="--checkpoint",
                )
            return None
        from deltarule.training import Checkpoint

        last = 3 if self.keep_last is None else self.keep_last
        return Checkpoint(
            self.checkpoint,
            self.every_epochs,
            self.every_seconds,
            last,
            resume=self.resume,
            exact=self.exact,
        )


def settings(
    network: NetworkOptions, training: TrainingOptions, checkpoints: CheckpointOptions
) -> Settings:
    """Return the network and how it is trained."""
    rate, alpha = training.learning_rate, training.alpha
    if rate is not None and not 0 < rate < float("inf"):
        raise typer.BadParameter(f"{rate} must be above 0", param_hint="--learning-rate")
    # NaN passes the bound of older releases of typer
    if alpha is not None and not 0 <= alpha < float("inf"):
        raise typer.BadParameter(f"{alpha} must be finite and at least 0", param_hint="--alpha")
    if training.time is not None and not 0 < training.time < float("inf"):
        raise typer.BadParameter(f"{training.time} must be above 0", param_hint="--time")
    policy = checkpoints.policy()

    from deltarule.tables import Settings

    return Settings(
        epochs=training.epochs,
        learning_rate=rate,
        batch_size=training.batch_size,
        alpha=alpha,
        patience=training.patience,
        checkpoint=policy,
        max_seconds=training.time,
        monitor=None if training.monitor is None else training.monitor.value,
        **network.shape(),
    )


def _parse_shares(split: str | None, dev: float | None, test: float | None) -> Shares | None:
    """Return the shares of dev and test, or None for the rule of --split auto."""
    from deltarule.tables import Shares

    if split is None:
        shares = Shares(0.1 if dev is None else dev, test or 0.0)
        if not (shares.dev > 0 and shares.dev + shares.test < 1):
            raise typer.BadParameter("--dev and --test must be above 0 and below 1 together")
        return shares
    if dev is not None or test is not None:
        raise typer.BadParameter("--split says all shares; leave out --dev and --test FRACTION")
    if split == "auto":
        return None
    try:
        training, dev, test = (float(part) for part in split.split("/"))
    except ValueError:
        training, dev, test = 0.0, 0.0, 0.0
    total = training + dev + test
    if not (training > 0 and dev > 0 and test >= 0 and total < float("inf")):
        raise typer.BadParameter(
            f"{split!r} is not a split; give auto, training/dev/test such as 70/15/15, or time:COL",
            param_hint="--split",
        )
    if min(abs(total - whole) / whole for whole in (1, 100)) > ROUNDING:
        same = "/".join(f"{100 * part / total:.4g}" for part in (training, dev, test))
        raise typer.BadParameter(
            f"the shares {split} add up to {total:g}; give shares that add up to 100 (or 1), such "
            f"as {same} for the same proportions",
            param_hint="--split",
        )
    return Shares(dev / total, test / total)


def _parse_time(split: str | None) -> str | None:
    """Return the column of --split time:COL, None if it says another split."""
    if split is None or not split.startswith("time:"):
        return None
    name = split.removeprefix("time:")
    if not name:
        raise typer.BadParameter(
            "time: needs the name of a column, such as time:date", param_hint="--split"
        )
    return name


def _parse_test(text: str | None) -> tuple[float | None, Path | None]:
    """Return the fraction or the file that --test names, and None for the other."""
    if text is None:
        return None, None
    try:
        fraction = float(text)
    except ValueError:
        return None, parse_path(text)
    if not 0 < fraction < 1:
        raise typer.BadParameter(
            f"{text!r} is neither a fraction between 0 and 1 nor a file", param_hint="--test"
        )
    return fraction, None
