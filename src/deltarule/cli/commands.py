"""The steps of each command."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deltarule.cli.inputs import Tables, opened, opened_in_memory
from deltarule.cli.options import DescribeOptions
from deltarule.cli.output_options import (
    ExplanationOptions,
    OutputOptions,
    PictureOptions,
    PredictionFileOptions,
)
from deltarule.cli.outputs import Outputs, check_apart
from deltarule.cli.plots import DATA_PICTURE, check_plots, draw_data_plot, draw_plots
from deltarule.cli.reading_options import FileOptions, NotationOptions
from deltarule.cli.signals import leaving
from deltarule.cli.stdio import STREAM, is_stream
from deltarule.errors import DeltaruleError, ModelFileError
from deltarule.storage import encode, read_model_record
from deltarule.tables import PredictionsCsv, TableModel
from deltarule.tables.kinds import Unseen
from deltarule.utils.context import error_context

if TYPE_CHECKING:
    from deltarule.tables import Plan, Prepared, ReadOptions, Settings

__all__ = [
    "Outputs",
    "Tables",
    "check",
    "describe",
    "evaluate",
    "explain",
    "export",
    "predict",
    "train",
]


def train(
    tables: Tables,
    plan: Plan,
    settings: Settings,
    outputs: Outputs,
    output: OutputOptions,
    files: FileOptions,
) -> None:
    """Train on a table, save, report, and draw.

    Files that cannot be read or written are refused before the training. The model is written
    before anything is printed about it, so that no later error can lose it.
    """
    from deltarule.tables import check_test, collect_values, prepare, score_parts

    outputs.check(tables.named, binary="a model")
    if settings.checkpoint is not None:
        check_apart(Path(settings.checkpoint.folder, "checkpoint"), tables.named)
    reporter, form = output.reporter("train", outputs.file), files.form()
    with ExitStack() as stack:
        drawn = outputs.plots is not None
        table = stack.enter_context(opened(tables.training, form, tables.stream, again=drawn))
        test = None if tables.test is None else stack.enter_context(opened(tables.test, form))
        prepared = prepare(table, plan)
        reporter.plan(table, prepared)
        if test is not None:
            check_test(prepared.preprocessing, test)
        model, notes = _fitted(prepared, settings, output)
        outputs.write(encode(model.to_model_record()))
        with _written(outputs.file):
            reporter.notes(notes)
            reporter.network(model)
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


def _fitted(
    prepared: Prepared, settings: Settings, output: OutputOptions
) -> tuple[TableModel, list[str]]:
    """Train; return the model and the warnings, each once."""
    from sklearn.exceptions import ConvergenceWarning

    from deltarule.tables.tabular import estimator_for

    with warnings.catch_warnings(record=True) as caught, leaving(_left_behind(settings)):
        warnings.simplefilter("always")
        estimator = estimator_for(prepared, settings)
        estimator.set_callbacks(*_bars(settings, output))
        model = estimator.fit_prepared(prepared).model_
    notes = [
        _stopped(model, settings)
        if issubclass(warning.category, ConvergenceWarning)
        else str(warning.message)
        for warning in caught
    ]
    return model, list(dict.fromkeys(notes))


def _stopped(model: TableModel, settings: Settings) -> str:
    """Return why a training stopped at --epochs."""
    best = model.training_summary().best_epoch
    how = (
        "was still rising"
        if best == settings.epochs
        else f"was highest after epoch {best}, less than --patience ago"
    )
    return f"Stopped after the {settings.epochs} epochs of --epochs; the dev score {how}."


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
    outputs.check(_reads(model_path) | {"the table": path})
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
    output: OutputOptions,
    reading: FileOptions,
    cells: NotationOptions,
) -> int:
    """Print a gradient check; return 1 if the gradient is wrong, else 0."""
    reporter = output.reporter("check")
    model = cells.applied(TableModel.load(model_path))
    with opened_in_memory(path, reading.form(model.preprocessing.file)) as table:
        report = model.check(table)
    reporter.check(report)
    reporter.end()
    return 1 if report.verdict == "wrong" else 0


def explain(
    model_path: Path,
    path: Path,
    files: ExplanationOptions,
    output: OutputOptions,
    reading: FileOptions,
    cells: NotationOptions,
) -> None:
    """Show rows on their way through a model."""
    from deltarule.explanation import check_ending
    from deltarule.explanation import explain as explain_rows

    file = STREAM if files.output is None else files.output
    outputs = Outputs(file, overwrite=files.overwrite)
    outputs.check(_reads(model_path) | {"the table": path})
    ending = ".txt" if is_stream(file) else check_ending(file)
    reporter = output.reporter("explain", outputs.file)
    model = cells.applied(TableModel.load(model_path))
    with opened_in_memory(path, reading.form(model.preprocessing.file)) as table:
        explanation = explain_rows(model, table, [row - 1 for row in files.row or [1]])
    outputs.write(f"{explanation.as_file(ending).rstrip()}\n".encode())
    if not is_stream(file):
        reporter.wrote("explanation", file)
    reporter.end()


def _reads(model_path: Path) -> dict[str, Path | None]:
    """Return the model file, by its name in messages. A model named - is a file, too."""
    return {"the model": model_path.absolute()}


def _bars(settings: Settings, output: OutputOptions) -> tuple[Any, ...]:
    """Return a progress bar, if the standard error stream is a terminal."""
    if output.quiet or not sys.stderr.isatty():
        return ()
    from deltarule.cli.progress_bar import EpochBar

    return (EpochBar(settings.epochs),)


def _left_behind(settings: Settings) -> str:
    """Return what an interrupted training leaves behind."""
    if settings.checkpoint is None:
        return "nothing was written"
    folder = settings.checkpoint.folder
    return f"a checkpoint is in {folder}: run the same command with --resume to continue"
