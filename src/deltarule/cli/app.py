"""The commands."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from deltarule.cli.options import (
    Activation,
    Dtype,
    ForceOption,
    JsonOption,
    ModelArgument,
    QuietOption,
    TableArgument,
    TaskName,
    Unseen,
    UnseenOption,
    check_streams,
    parse_checkpoint,
    parse_path,
    parse_shares,
    parse_test,
    parse_widths,
)
from deltarule.version import __version__

__all__ = ["app"]

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"deltarule {__version__}")
        raise typer.Exit


@app.callback()
def deltarule(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show where an error came from (any command).")
    ] = False,
) -> None:
    """Train neural networks on tables, and use them.

    A first session:

        deltarule train penguins.csv --target species --test 0.2

        deltarule predict penguins.safetensors new.csv -o predictions.csv

    Columns of numbers, true/false and categories are understood, and missing cells (empty, NA,
    NaN, null). Every error is one line that says what to change; the exit code is then 2.
    """


@app.command()
def train(
    table: TableArgument,
    target: Annotated[str, typer.Option("--target", "-t", help="The column to predict.")],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            parser=parse_path,
            help="The model file to write, or -; by default TABLE's name.safetensors.",
        ),
    ] = None,
    hidden: Annotated[
        str, typer.Option(help="Widths of the hidden layers, as in 128,64.")
    ] = "128,64",
    activation: Annotated[
        Activation, typer.Option(help="The activation of the hidden layers.")
    ] = Activation.relu,
    epochs: Annotated[int, typer.Option(min=1, help="The most passes over the rows.")] = 500,
    learning_rate: Annotated[float, typer.Option(help="Adam's step size.")] = 0.001,
    batch_size: Annotated[
        int | None,
        typer.Option(min=1, help="Rows per step; by default 16 to 256, by the table's size."),
    ] = None,
    alpha: Annotated[float, typer.Option(min=0, help="Weight of the squared (L2) penalty.")] = 0.3,
    patience: Annotated[
        int, typer.Option(min=1, help="Epochs without a better dev score before stopping.")
    ] = 50,
    seed: Annotated[int, typer.Option(min=0, help="All randomness follows from it.")] = 0,
    task: Annotated[
        TaskName | None,
        typer.Option(
            help="By default texts, true/false and whole numbers with at most 20 values are "
            "classes, other numbers quantities."
        ),
    ] = None,
    test: Annotated[
        str | None,
        typer.Option(metavar="FRACTION|FILE", help="Hold out test rows, or test on another table."),
    ] = None,
    dev: Annotated[
        float | None,
        typer.Option(metavar="FRACTION", help="Rows that decide when to stop [default: 0.1]."),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(
            metavar="auto|A/B/C",
            help="Training/dev/test; auto is 60/20/20 up to 10000 rows, 98/1/1 above.",
        ),
    ] = None,
    ignore: Annotated[
        list[str] | None, typer.Option(metavar="COL", help="A column to leave out; repeatable.")
    ] = None,
    stream: Annotated[
        bool | None,
        typer.Option(
            "--stream/--no-stream",
            help="Leave the table in its files and read it anew in every epoch; by default if it "
            "would take more than half of the free memory, or is a folder.",
        ),
    ] = None,
    plots: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write pictures of the training there.")
    ] = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Keep checkpoints there, to go on from if cut off."),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Go on from the newest checkpoint, if there is one."),
    ] = False,
    every_epochs: Annotated[
        int | None, typer.Option(min=1, help="Epochs between checkpoints.")
    ] = None,
    every_seconds: Annotated[
        float | None,
        typer.Option(min=0, help="Seconds between checkpoints; 60, unless epochs are given."),
    ] = None,
    keep_last: Annotated[
        int | None, typer.Option(min=1, help="How many checkpoints stay, beside the best: 3.")
    ] = None,
    force: ForceOption = False,
    quiet: QuietOption = False,
    json: JsonOption = False,
) -> None:
    """Train a network on a table and save it.

    TABLE and --target are enough:

        deltarule train iris.csv --target species

    Hold out a fifth of the rows for an honest score, and draw pictures:

        deltarule train iris.csv --target species --test 0.2 --plots pictures

    Predict a number, with a wider network:

        deltarule train houses.parquet --target price --hidden 256,128

    A folder of files is one table, read piece by piece:

        deltarule train flights/ --target delay

    A column of names or dates cannot be learned from; leave it out:

        deltarule train houses.csv --target price --ignore address --ignore sold

    Begin, or go on where a training with the same options was cut off:

        deltarule train houses.csv --target price --checkpoint run --resume
    """
    check_streams(table, output, json=json)
    fraction, test_file = parse_test(test)
    shares = parse_shares(split, dev, fraction)
    widths = parse_widths(hidden)
    if not 0 < learning_rate < float("inf"):
        raise typer.BadParameter(f"{learning_rate} must be above 0", param_hint="--learning-rate")

    points = parse_checkpoint(checkpoint, (every_epochs, every_seconds, keep_last), resume=resume)

    from deltarule.cli import commands
    from deltarule.tables import Plan, Settings

    commands.train(
        commands.Tables(table, test_file, stream),
        Plan(target, task.value if task else None, tuple(ignore or ()), shares, seed),
        Settings(
            widths, activation.value, epochs, learning_rate, batch_size, alpha, patience, points
        ),
        commands.Outputs(output or Path(f"{table.stem}.safetensors"), plots, force),
        commands.Manner(quiet, json),
    )


@app.command()
def evaluate(
    model: ModelArgument,
    table: TableArgument,
    unseen: UnseenOption = Unseen.other,
    quiet: QuietOption = False,
    json: JsonOption = False,
) -> None:
    """Compare a model's predictions with the target column of a table.

    deltarule evaluate penguins.safetensors more-penguins.csv
    """
    from deltarule.cli import commands

    commands.evaluate(model, table, unseen.value, commands.Manner(quiet, json))


@app.command()
def predict(
    model: ModelArgument,
    table: TableArgument,
    output: Annotated[
        Path, typer.Option("--output", "-o", parser=parse_path, help="The CSV file to write, or -.")
    ],
    keep: Annotated[bool, typer.Option("--keep", help="Write the table's columns too.")] = False,
    escape_formulas: Annotated[
        bool,
        typer.Option(
            "--escape-formulas",
            help="Put ' before texts that a spreadsheet would run (those beginning with = + - @).",
        ),
    ] = False,
    unseen: UnseenOption = Unseen.other,
    force: ForceOption = False,
    quiet: QuietOption = False,
    json: JsonOption = False,
) -> None:
    """Predict every row of a table.

        deltarule predict penguins.safetensors new.csv -o predictions.csv

    The file has a column `prediction` and, for classes, `probability_<class>` for each of them.
    Columns are found by name; columns that the model does not know, the target too, are ignored.
    In a pipe, `-` is the standard input or output:

        cat new.csv | deltarule predict penguins.safetensors - -o - | head
    """
    check_streams(table, output, json=json)
    from deltarule.cli import commands

    commands.predict(
        model,
        table,
        commands.Outputs(output, force=force),
        unseen.value,
        commands.Manner(quiet, json),
        keep=keep,
        escape=escape_formulas,
    )


@app.command()
def export(
    model: ModelArgument,
    output: Annotated[
        Path,
        typer.Argument(metavar="OUT.onnx", parser=parse_path, help="The ONNX file to write, or -."),
    ],
    dtype: Annotated[
        Dtype, typer.Option(help="The type of every number in the graph.")
    ] = Dtype.float32,
    unseen: UnseenOption = Unseen.other,
    force: ForceOption = False,
    quiet: QuietOption = False,
    json: JsonOption = False,
) -> None:
    """Write a model, with its preprocessing, as an ONNX file.

        deltarule export penguins.safetensors penguins.onnx

    Each column is an input of its name; `label` and `probabilities`, or `variable`, come out.
    """
    check_streams(None, output, json=json)
    from deltarule.cli import commands

    outputs, manner = commands.Outputs(output, None, force), commands.Manner(quiet, json)
    commands.export(model, outputs, dtype.value, unseen.value, manner)


@app.command()
def check(
    model: ModelArgument,
    table: TableArgument,
    quiet: QuietOption = False,
    json: JsonOption = False,
) -> Any:
    """Check a model's gradient against difference quotients, on rows of a table.

        deltarule check penguins.safetensors penguins.csv

    The exit code is 1 if the gradient is wrong.
    """
    from deltarule.cli import commands

    raise typer.Exit(commands.check(model, table, commands.Manner(quiet, json)))
