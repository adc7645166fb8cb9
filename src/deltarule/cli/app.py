"""The commands: their arguments and their help."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from deltarule.cli.cluster_options import ClusterOptions
from deltarule.cli.groups import grouped
from deltarule.cli.network_options import NetworkOptions
from deltarule.cli.options import (
    CheckpointOptions,
    DataOptions,
    DescribeOptions,
    Dtype,
    MemberOption,
    ModelArgument,
    TableArgument,
    TrainingOptions,
    Unseen,
    UnseenOption,
    parse_path,
    settings,
)
from deltarule.cli.output_options import (
    ExplanationOptions,
    ModelFileOptions,
    ModelPictureOptions,
    OutputOptions,
    OverwriteOption,
    PictureOptions,
    PredictionFileOptions,
    check_streams,
)
from deltarule.cli.reading_options import CellOptions, FileOptions, NotationOptions
from deltarule.cli.search_options import SearchOptions
from deltarule.cli.stdio import STREAM
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


def _schema(wanted: bool) -> None:
    if wanted:
        import json

        from deltarule.cli.json_schema import json_schema

        typer.echo(json.dumps(json_schema(), indent=2))
        raise typer.Exit


@app.callback()
def deltarule(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
    json_schema: Annotated[
        bool,
        typer.Option(
            "--json-schema",
            callback=_schema,
            is_eager=True,
            help="Print the JSON Schema of the objects of --json.",
        ),
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show where an error came from (any command).")
    ] = False,
) -> None:
    """Train neural networks on tables, and use them.

    For example:

        deltarule describe penguins.csv --target species

        deltarule train penguins.csv --target species --test 0.2

        deltarule predict penguins.safetensors new.csv -o predictions.csv

    Columns may hold numbers, true/false, dates or categories, and missing cells (empty, NA, ? ...).
    Every error is one line that says what to change; the exit code is then 2.
    """


@app.command()
@grouped
def train(
    table: TableArgument,
    data: DataOptions,
    reading: FileOptions,
    cells: CellOptions,
    network: NetworkOptions,
    training: TrainingOptions,
    checkpoints: CheckpointOptions,
    cluster: ClusterOptions,
    files: ModelFileOptions,
    output: OutputOptions,
) -> None:
    """Train a network on a table and save it.

    TABLE and --target are enough; by default eight networks are averaged:

        deltarule train iris.csv --target species

    Hold out a fifth of the rows for an honest score, and draw pictures:

        deltarule train iris.csv --target species --test 0.2 --plots pictures

    Predict a number by one network of your own, instead of an ensemble of eight:

        deltarule train houses.parquet --target price --hidden 256,128

    A folder of files is one table, read in chunks:

        deltarule train flights/ --target delay

    The processes of a Dask cluster read and train, here four on this machine:

        deltarule train flights/ --target delay --dask local:4

    Columns are what their cells look like, and the command says what that is; say otherwise:

        deltarule train houses.csv --target price --category code --missing -999 --ignore 'id_*'

    Rows that follow each other in time are tested on the last of them:

        deltarule train sales.csv --target sales --split time:date

    Begin, or resume where a training with the same options was interrupted:

        deltarule train houses.csv --target price --checkpoint run --resume
    """
    check_streams(table, files.output, json=output.json)
    how = settings(network, training, checkpoints)
    plan = cluster.applied(network.applied(data.plan(training.seed, cells), how))

    from deltarule.cli import commands

    commands.train(
        commands.Tables(cluster.path(table), data.test_table, cluster.stream(data.stream)),
        plan,
        how,
        commands.Outputs(
            files.output or Path(f"{table.stem}.safetensors"), files.plots, files.overwrite
        ),
        output,
        reading,
        dask=cluster.dask,
    )


@app.command()
@grouped
def tune(
    table: TableArgument,
    data: DataOptions,
    reading: FileOptions,
    cells: CellOptions,
    search: SearchOptions,
    files: ModelFileOptions,
    output: OutputOptions,
) -> None:
    """Search for the networks that suit a table best, and save them.

        deltarule tune houses.csv --target price --time 600

    The defaults are fitted first, then recipes of other widths, rates, activations and decays; the
    best of four activations in turn make the ensemble, unless the defaults are better. With --dev
    or --split, each trial is one network that is scored on those dev rows; a share of 0.1 is the
    default, with which --ensemble 1 trains one. The rows that choose flatter what they have chosen:
    --test 0.2 holds out rows for an honest score. With a file for the trials, the same command goes
    on where it was stopped:

        deltarule tune houses.csv --target price --time 3600 --study houses.db

    Needs Optuna: pip install "deltarule[tune]".
    """
    check_streams(table, files.output, json=output.json)
    budget = search.budget()
    plan = search.applied(data.plan(search.seed, cells))

    from deltarule.cli import commands

    commands.train(
        commands.Tables(table, data.test_table, data.stream),
        plan,
        commands.default_settings(),
        commands.Outputs(
            files.output or Path(f"{table.stem}.safetensors"), files.plots, files.overwrite
        ),
        output,
        reading,
        commands.Search(budget, search.study),
    )


@app.command()
@grouped
def describe(
    table: TableArgument,
    data: DescribeOptions,
    reading: FileOptions,
    cells: CellOptions,
    files: PictureOptions,
    output: OutputOptions,
) -> None:
    """Say what the columns of a table hold, without training.

        deltarule describe houses.csv --target price --plots pictures

    It reads the table as train does, prints what each column is taken for, and draws the values of
    each column, the missing cells and the target.
    """
    from deltarule.cli import commands

    commands.describe(table, data, cells.reading(), files, output, reading)


@app.command()
@grouped
def evaluate(
    model: ModelArgument,
    table: TableArgument,
    *,
    unseen: UnseenOption = Unseen.other,
    reading: FileOptions,
    cells: NotationOptions,
    output: OutputOptions,
) -> None:
    """Compare a model's predictions with the target column of a table.

    deltarule evaluate penguins.safetensors more-penguins.csv
    """
    from deltarule.cli import commands

    commands.evaluate(model, table, unseen.value, output, reading, cells)


@app.command()
@grouped
def predict(
    model: ModelArgument,
    table: TableArgument,
    *,
    unseen: UnseenOption = Unseen.other,
    reading: FileOptions,
    cells: NotationOptions,
    files: PredictionFileOptions,
    output: OutputOptions,
) -> None:
    """Predict every row of a table.

        deltarule predict penguins.safetensors new.csv -o predictions.csv

    The file has a column `prediction` and, for classes, `probability_<class>` for each of them.
    Columns are found by name; columns that the model does not use, the target too, are ignored.
    In a pipe, `-` is the standard input or output:

        cat new.csv | deltarule predict penguins.safetensors - -o - | head
    """
    check_streams(table, files.output, json=output.json)
    from deltarule.cli import commands

    commands.predict(model, table, files, unseen.value, output, reading, cells)


@app.command()
@grouped
def export(
    model: ModelArgument,
    file: Annotated[
        Path,
        typer.Argument(metavar="OUT.onnx", parser=parse_path, help="The ONNX file to write, or -."),
    ],
    *,
    unseen: UnseenOption = Unseen.other,
    dtype: Annotated[
        Dtype,
        typer.Option(help="The type of every number in the graph.", rich_help_panel="Output"),
    ] = Dtype.float32,
    overwrite: OverwriteOption = False,
    output: OutputOptions,
) -> None:
    """Write a model, with its preprocessing, as an ONNX file.

        deltarule export penguins.safetensors penguins.onnx

    Each column is an input of its name; `label` and `probabilities`, or `variable`, come out.
    """
    check_streams(None, file, json=output.json)
    from deltarule.cli import commands

    outputs = commands.Outputs(file, overwrite=overwrite)
    commands.export(model, outputs, dtype.value, unseen.value, output)


@app.command()
@grouped
def check(
    model: ModelArgument,
    table: TableArgument,
    *,
    member: MemberOption = 1,
    reading: FileOptions,
    cells: NotationOptions,
    output: OutputOptions,
) -> None:
    """Check a model's gradient against difference quotients, on rows of a table.

        deltarule check penguins.safetensors penguins.csv

    The exit code is 1 if the gradient is wrong.
    """
    from deltarule.cli import commands

    raise typer.Exit(commands.check(model, table, member, output, reading, cells))


@app.command()
@grouped
def plot(
    model: ModelArgument,
    table: TableArgument,
    *,
    member: MemberOption = 1,
    reading: FileOptions,
    cells: NotationOptions,
    files: ModelPictureOptions,
    output: OutputOptions,
) -> None:
    """Draw a model: its training, its results on a table, and what is inside the network.

        deltarule plot penguins.safetensors penguins.csv --plots pictures

    Learning curve, confusion matrix or predictions, weights of the first layer, activations and
    gradients by layer; of two classes precision and recall by threshold.
    """
    from deltarule.cli import commands

    commands.plot(model, table, files, member, output, reading, cells)


@app.command()
@grouped
def explain(
    model: ModelArgument,
    table: TableArgument,
    *,
    member: MemberOption = 1,
    reading: FileOptions,
    cells: NotationOptions,
    files: ExplanationOptions,
    output: OutputOptions,
) -> None:
    """Show a row on its way through a model: every equation with its numbers.

        deltarule explain penguins.safetensors penguins.csv --row 3 -o page.html

    It is the pass that predicts. With the target among the columns there are the loss, the deltas
    and the gradients, too. With --training it is a pass of training, with the masks of dropout, and
    one step of the optimiser; without dropout the two passes are the same. The file's ending
    decides: .html, .md or .txt; by default text is printed.
    """
    check_streams(None, STREAM if files.output is None else files.output, json=output.json)
    from deltarule.cli import commands

    commands.explain(model, table, files, member, output, reading, cells)
