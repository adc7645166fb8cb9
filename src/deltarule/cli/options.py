"""The options of the commands: their types, help and parsing."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deltarule.cli.streams import STREAM, is_stream

if TYPE_CHECKING:
    from deltarule.tables import Shares
    from deltarule.training import Checkpoint

__all__ = [
    "Activation",
    "Dtype",
    "TaskName",
    "Unseen",
    "check_streams",
    "parse_checkpoint",
    "parse_path",
    "parse_shares",
    "parse_test",
    "parse_widths",
]


class Activation(StrEnum):
    """The activations of hidden layers."""

    relu = "relu"
    tanh = "tanh"
    logistic = "logistic"
    identity = "identity"


class TaskName(StrEnum):
    """What is learned."""

    classification = "classification"
    regression = "regression"


class Dtype(StrEnum):
    """The types of an exported graph."""

    float32 = "float32"
    float64 = "float64"


class Unseen(StrEnum):
    """What to do with categories that training did not see."""

    other = "other"
    error = "error"


def parse_path(text: str) -> Path:
    """Return the path in a text; a file called ``-``, named ``./-``, with its folder.

    So nothing but the text ``-`` is taken for a stream.
    """
    found = Path(text)
    return found.absolute() if is_stream(found) and text != str(STREAM) else found


def parse_widths(text: str) -> tuple[int, ...]:
    """Return the widths of the hidden layers in a text such as "128,64"."""
    try:
        widths = tuple(int(part) for part in text.split(","))
    except ValueError:
        widths = (0,)
    if min(widths) < 1 or max(widths) > 1_000_000 or len(widths) > 1000:
        raise typer.BadParameter(
            f"{text!r} is no list of widths; give whole numbers of at least 1, such as 128,64",
            param_hint="--hidden",
        )
    return widths


def parse_shares(split: str | None, dev: float | None, test: float | None) -> Shares | None:
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
        parts = [float(part) for part in split.split("/")]
        total = sum(parts)
        shares = Shares(parts[1] / total, parts[2] / total)
        good = len(parts) == 3 and min(parts[:2]) > 0 and parts[2] >= 0 and total < float("inf")
    except (ValueError, IndexError, ZeroDivisionError):
        good = False
    if not good:
        raise typer.BadParameter(
            f"{split!r} is no split; give auto, or training/dev/test such as 70/15/15",
            param_hint="--split",
        )
    return shares


def parse_test(text: str | None) -> tuple[float | None, Path | None]:
    """Return a fraction or a file, whichever --test names."""
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


def check_streams(table: Path | None, output: Path | None, *, json: bool) -> None:
    """Refuse what the standard streams cannot carry together, or cannot name."""
    if is_stream(output) and json:
        raise typer.BadParameter(
            "the standard output carries the file or the JSON object, not both; name a file",
            param_hint="--output",
        )
    if is_stream(table) and output is None:
        raise typer.BadParameter(
            "a table from the standard input has no name; say where the model goes",
            param_hint="--output",
        )


def parse_checkpoint(
    folder: Path | None, keep: tuple[int | None, float | None, int | None], *, resume: bool
) -> Checkpoint | None:
    """Return where checkpoints go; ``keep`` has the epochs and seconds between, and how many."""
    epochs, seconds, last = keep
    if folder is None:
        if resume or any(given is not None for given in keep):
            raise typer.BadParameter(
                "--resume, --every-epochs, --every-seconds and --keep-last go with --checkpoint "
                "FOLDER",
                param_hint="--checkpoint",
            )
        return None
    from deltarule.training import Checkpoint

    return Checkpoint(folder, epochs, seconds, 3 if last is None else last, resume=resume)


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
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the results as one JSON object.")]
ForceOption = Annotated[bool, typer.Option("--force", "-f", help="Overwrite existing files.")]
UnseenOption = Annotated[
    Unseen,
    typer.Option(help="Categories that training did not see: take them as 'other', or stop."),
]
