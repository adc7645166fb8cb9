"""The steps of each command."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from deltarule.cli.inputs import Tables, opened, opened_in_memory
from deltarule.cli.options import DescribeOptions
from deltarule.cli.output_options import (
    ExplanationOptions,
    ModelPictureOptions,
    OutputOptions,
    PictureOptions,
    PredictionFileOptions,
)
from deltarule.cli.outputs import Outputs, check_apart
from deltarule.cli.plots import (
    DATA_PICTURE,
    MODEL_PICTURES,
    check_plots,
    draw_data_plot,
    draw_model_plots,
    draw_plots,
)
from deltarule.cli.reading_options import FileOptions, NotationOptions
from deltarule.cli.signals import leaving
from deltarule.cli.stdio import STREAM, is_stream
from deltarule.errors import DeltaruleError, ModelFileError, OutputError
from deltarule.storage import encode, read_model_record
from deltarule.tables import PredictionsCsv, TableModel
from deltarule.tables.kinds import Unseen
from deltarule.utils.context import error_context

if TYPE_CHECKING:
    from deltarule.tables import Plan, Prepared, ReadOptions, Settings
    from deltarule.tables.cluster import ClusterPasses
    from deltarule.tables.tabular.tuning import Found
    from deltarule.tables.tuning import Budget

__all__ = [
    "Outputs",
    "Search",
    "Tables",
    "check",
    "default_settings",
    "describe",
    "evaluate",
    "explain",
    "export",
    "plot",
    "predict",
    "train",
]


class Search(NamedTuple):
    """How long a search goes on, and the file that remembers its trials."""

    budget: Budget
    study: Path | None


def train(
    tables: Tables,
    plan: Plan,
    settings: Settings,
    outputs: Outputs,
    output: OutputOptions,
    files: FileOptions,
    search: Search | None = None,
    *,
    dask: str | None = None,
) -> None:
    """Train on a table, or search for what to train, save, report, and draw.

    Files that cannot be read or written are refused before the training. The model is written
    before anything is printed about it, so that no later error can lose it.
    """
    from deltarule.tables import check_test, collect_values, prepare, score_parts

    outputs.check(tables.named, binary="a model")
    if settings.checkpoint is not None:
        check_apart(Path(settings.checkpoint.folder, "checkpoint"), tables.named)
    if search is not None and search.study is not None:
        check_apart(search.study, tables.named)
        if search.study.absolute() == outputs.file.absolute():
            raise OutputError(f"{search.study} is the model's file, too; name another --study")
    command = "train" if search is None else "tune"
    reporter, form = output.reporter(command, outputs.file), files.form()
    with ExitStack() as stack:
        again = outputs.plots is not None or search is not None
        table = stack.enter_context(opened(tables.training, form, tables.stream, again=again))
        test = None if tables.test is None else stack.enter_context(opened(tables.test, form))
        passes = None if dask is None else stack.enter_context(_cluster(dask, reporter))
        prepared = prepare(table, plan, passes)
        reporter.plan(table, prepared)
        if test is not None:
            check_test(prepared.preprocessing, test)
        if search is None:
            model, notes = _fitted(prepared, settings, output)
        else:
            model, notes, found = _searched(prepared, settings, output, search)
        outputs.write(encode(model.to_model_record()))
        with _written(outputs.file):
            reporter.notes(notes)
            if search is not None:
                reporter.search(found)
            reporter.networks(model)
            parts = score_parts(model, prepared)
            if test is not None:
                parts["test"] = model.evaluate(test)
            reporter.scores(parts)
            reporter.wrote("model", outputs.file)
            if outputs.plots is not None:
                values = collect_values(
                    table,
                    prepared.understanding,
                    target=plan.target,
                    task=prepared.preprocessing.target.task,
                    missing=plan.reading.missing,
                )
                data = draw_data_plot(values, outputs.plots, overwrite=outputs.overwrite)
                reporter.wrote("picture", data)
                last = list(parts.values())[-1]
                for picture in draw_plots(model, last, outputs.plots, overwrite=outputs.overwrite):
                    reporter.wrote("picture", picture)
            reporter.end()


@contextmanager
def _cluster(address: str, reporter: Any) -> Iterator[ClusterPasses]:
    """Connect to a cluster, whose workers read and train; print where its dashboard is."""
    from deltarule.tables.cluster import ClusterPasses, connected

    with connected(address) as crew:
        reporter.notes([f"the dashboard of the cluster is at {crew.client.dashboard_link}"])
        yield ClusterPasses(crew)


def _fitted(
    prepared: Prepared, settings: Settings, output: OutputOptions
) -> tuple[TableModel, list[str]]:
    """Train; return the model and the warnings, each once."""
    from sklearn.exceptions import ConvergenceWarning

    from deltarule.tables.tabular import estimator_for

    with warnings.catch_warnings(record=True) as caught, leaving(_left_behind(settings)):
        warnings.simplefilter("always")
        estimator = estimator_for(prepared, settings)
        if prepared.folds == 1:
            estimator.set_callbacks(*_bars(settings, output))
        model = estimator.fit_prepared(prepared).model_
    notes = [
        _stopped(model, settings)
        if issubclass(warning.category, ConvergenceWarning)
        else str(warning.message)
        for warning in caught
    ]
    return model, list(dict.fromkeys(notes))


def default_settings() -> Settings:
    """Return the settings of a training about which nothing was said."""
    from deltarule.tables import Settings

    return Settings()


def _searched(
    prepared: Prepared, settings: Settings, output: OutputOptions, search: Search
) -> tuple[TableModel, list[str], Found]:
    """Search for recipes; return the model, the warnings, and what was found."""
    from deltarule.cli.progress_bar import SearchBar
    from deltarule.tables.tabular import estimator_for

    left = "nothing was written"
    if search.study is not None:
        left = f"the trials are in {search.study}: run the same command to go on"
    estimator = estimator_for(prepared, settings)
    shown = not output.quiet and sys.stderr.isatty()
    with warnings.catch_warnings(record=True) as caught, leaving(left):
        warnings.simplefilter("always")
        with SearchBar(search.budget.seconds) if shown else nullcontext() as bar:
            estimator.tune_prepared(
                prepared, search.budget, search.study, None if bar is None else bar.show
            )
    notes = [str(warning.message) for warning in caught]
    return estimator.model_, list(dict.fromkeys(notes)), estimator.tuning_


def _stopped(model: TableModel, settings: Settings) -> str:
    """Return why a training stopped at --epochs."""
    best, epochs = model.training_summary().best_epoch, settings.for_one().epochs
    how = (
        "was still rising"
        if best == epochs
        else f"was highest after epoch {best}, less than --patience ago"
    )
    return f"Stopped after the {epochs} epochs of --epochs; the dev score {how}."


@contextmanager
def _written(file: Path) -> Iterator[None]:
    """Say in every error and signal inside this context that the model is written."""
    what = f"the model is written: {file}"

    def completed(error: DeltaruleError) -> DeltaruleError:
        return type(error)(f"{str(error).rstrip('.')}; {what}")

    with leaving(what), error_context((DeltaruleError, completed)):
        yield


def describe(
    path: Path,
    data: DescribeOptions,
    reading: ReadOptions,
    files: PictureOptions,
    output: OutputOptions,
    written: FileOptions,
) -> None:
    """Print what a table holds, and draw it."""
    from deltarule.tables import collect_values
    from deltarule.tables import describe as describe_table

    if files.plots is not None:
        check_apart(files.plots / DATA_PICTURE, {"the table": path})
        check_plots(files.plots, (DATA_PICTURE,), overwrite=files.overwrite)
    reporter = output.reporter("describe")
    with opened(path, written.form(), data.stream, again=files.plots is not None) as table:
        found = describe_table(
            table, target=data.target, ignore=tuple(data.ignore or ()), reading=reading
        )
        reporter.description(table, found)
        if files.plots is not None:
            values = collect_values(
                table,
                found.understanding,
                target=data.target,
                task=found.decision and found.decision.task,
                missing=reading.missing,
            )
            data_picture = draw_data_plot(values, files.plots, overwrite=files.overwrite)
            reporter.wrote("picture", data_picture)
    reporter.end()


def evaluate(
    model_path: Path,
    path: Path,
    unseen: Unseen,
    output: OutputOptions,
    reading: FileOptions,
    cells: NotationOptions,
) -> None:
    """Print the scores of a model on a table."""
    reporter = output.reporter("evaluate")
    model = cells.applied(TableModel.load(model_path))
    with opened(path, reading.form(model.preprocessing.file)) as table:
        reporter.scores({table.path.name: model.evaluate(table, unseen)})
    reporter.end()


def predict(
    model_path: Path,
    path: Path,
    files: PredictionFileOptions,
    unseen: Unseen,
    output: OutputOptions,
    reading: FileOptions,
    cells: NotationOptions,
) -> None:
    """Write a model's predictions for a table, in chunks."""
    outputs = Outputs(files.output, overwrite=files.overwrite)
    outputs.check(_reads(model_path) | {"the table": path}, csv=True)
    reporter = output.reporter("predict", outputs.file)
    model = cells.applied(TableModel.load(model_path))
    with opened(path, reading.form(model.preprocessing.file), stream=True) as table:
        predictions = PredictionsCsv(
            model, table, unseen, keep=files.keep, escape=files.escape_formulas
        )
        outputs.write_chunks(predictions)
    reporter.notes([*table.notes, *predictions.seen.sentences()])
    reporter.wrote("predictions", outputs.file, predictions.rows)
    reporter.end()


def export(
    model_path: Path, outputs: Outputs, dtype: str, unseen: Unseen, output: OutputOptions
) -> None:
    """Write a model of a table, or a saved estimator, as an ONNX file."""
    from deltarule.onnx import to_bytes
    from deltarule.persistence import load

    outputs.check(_reads(model_path), binary="an ONNX file")
    if read_model_record(model_path).kind == "table":
        graph = TableModel.load(model_path).to_onnx(dtype=dtype, unseen=unseen)
    else:
        model = load(model_path)
        if not hasattr(model, "to_onnx"):
            raise ModelFileError(
                f"{model_path} holds a {type(model).__name__}, which cannot be exported; save and "
                "export only its MLPClassifier or MLPRegressor"
            )
        graph = model.to_onnx(dtype=dtype)
    outputs.write(to_bytes(graph))
    reporter = output.reporter("export", outputs.file)
    reporter.exported(
        outputs.file,
        dtype=dtype,
        opset=graph.opset_import[0].version,
        inputs=[value.name for value in graph.graph.input],
        outputs=[value.name for value in graph.graph.output],
    )
    reporter.end()


def check(
    model_path: Path,
    path: Path,
    member: int,
    output: OutputOptions,
    reading: FileOptions,
    cells: NotationOptions,
) -> int:
    """Print a gradient check of a network; return 1 if the gradient is wrong, else 0."""
    reporter = output.reporter("check")
    model = cells.applied(TableModel.load(model_path))
    with opened_in_memory(path, reading.form(model.preprocessing.file)) as table:
        report = model.member(member).check(table)
    reporter.notes(_which(model, member))
    reporter.check(report)
    reporter.end()
    return 1 if report.verdict == "wrong" else 0


def explain(
    model_path: Path,
    path: Path,
    files: ExplanationOptions,
    member: int,
    output: OutputOptions,
    reading: FileOptions,
    cells: NotationOptions,
) -> None:
    """Show rows on their way through a network of a model."""
    from deltarule.explanation import check_ending
    from deltarule.explanation import explain as explain_rows

    file = STREAM if files.output is None else files.output
    outputs = Outputs(file, overwrite=files.overwrite)
    outputs.check(_reads(model_path) | {"the table": path})
    ending = ".txt" if is_stream(file) else check_ending(file)
    reporter = output.reporter("explain", outputs.file)
    model = cells.applied(TableModel.load(model_path))
    with opened_in_memory(path, reading.form(model.preprocessing.file)) as table:
        rows = [row - 1 for row in files.row or [1]]
        explanation = explain_rows(model.member(member), table, rows, training=files.training)
    outputs.write(f"{explanation.as_file(ending).rstrip()}\n".encode())
    if not is_stream(file):
        reporter.notes(_which(model, member))
        reporter.wrote("explanation", file)
    reporter.end()


def plot(
    model_path: Path,
    path: Path,
    files: ModelPictureOptions,
    member: int,
    output: OutputOptions,
    reading: FileOptions,
    cells: NotationOptions,
) -> None:
    """Draw a model: its training, its results on a table, and what is inside."""
    folder = files.plots or Path(f"{model_path.stem}-plots")
    check_apart(folder / MODEL_PICTURES[0], _reads(model_path) | {"the table": path})
    reporter = output.reporter("plot")
    model = cells.applied(TableModel.load(model_path))
    check_plots(folder, MODEL_PICTURES, overwrite=files.overwrite)
    with opened_in_memory(path, reading.form(model.preprocessing.file)) as table:
        drawn = draw_model_plots(model, table, member, folder, overwrite=files.overwrite)
        for picture in drawn:
            reporter.wrote("picture", picture)
    reporter.notes(_which(model, member))
    reporter.end()


def _which(model: TableModel, member: int) -> list[str]:
    """Return which network of an ensemble is shown; of a single one there is nothing to say."""
    count = len(model.networks)
    return [f"this is network {member} of {count}; --member shows another"] if count > 1 else []


def _reads(model_path: Path) -> dict[str, Path | None]:
    """Return the model file, by its name in messages. A model named - is a file, too."""
    return {"the model": model_path.absolute()}


def _bars(settings: Settings, output: OutputOptions) -> tuple[Any, ...]:
    """Return a progress bar, if the standard error stream is a terminal."""
    if output.quiet or not sys.stderr.isatty():
        return ()
    from deltarule.cli.progress_bar import EpochBar

    return (EpochBar(settings.for_one().epochs or 0),)


def _left_behind(settings: Settings) -> str:
    """Return what an interrupted training leaves behind."""
    if settings.checkpoint is None:
        return "nothing was written"
    folder = settings.checkpoint.folder
    return f"a checkpoint is in {folder}: run the same command with --resume to continue"
