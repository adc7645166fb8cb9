"""What each command does, in the order in which it does it."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deltarule.cli.outputs import Outputs, check_apart
from deltarule.cli.pictures import draw
from deltarule.cli.progress import EpochBar
from deltarule.cli.results import Results
from deltarule.cli.show import Screen
from deltarule.cli.signals import leaving
from deltarule.cli.streams import is_stream
from deltarule.cli.tables import Tables, opened, opened_source, opened_table
from deltarule.errors import DeltaruleError, ModelFileError
from deltarule.onnx import to_bytes
from deltarule.persistence import load
from deltarule.storage import encode, read_model_record
from deltarule.tables import (
    Evaluation,
    Plan,
    Prepared,
    PreparedStream,
    Settings,
    Source,
    StreamedPredictions,
    Table,
    TableModel,
    check_test,
    evaluate_parts,
    evaluate_stream,
    fit,
    fit_stream,
    prepare,
    prepare_stream,
    score_parts,
)
from deltarule.tables.preprocessing import Unseen

__all__ = ["Manner", "Outputs", "Tables", "check", "evaluate", "export", "predict", "train"]


@dataclass(frozen=True)
class Manner:
    """How a command speaks: to programs, not at all, or to people."""

    quiet: bool = False
    json: bool = False

    def voice(self, command: str, file: Path | None = None) -> Screen | Results:
        """Return what prints; on the standard error stream if the other carries a file."""
        if self.json:
            return Results(command)
        return Screen(quiet=self.quiet, stderr=is_stream(file))


def train(tables: Tables, plan: Plan, settings: Settings, outputs: Outputs, manner: Manner) -> None:
    """Train on a table, save, report, and draw.

    What cannot be read or written is refused before the training, and the model is written before
    anything is said about it: nothing that fails later may cost it.
    """
    outputs.check(tables.named, binary="a model")
    if settings.checkpoint is not None:
        check_apart(Path(settings.checkpoint.folder, "checkpoint"), tables.named)
    voice = manner.voice("train", outputs.file)
    with ExitStack() as stack:
        table = stack.enter_context(opened(tables.training, tables.stream))
        test = None if tables.test is None else stack.enter_context(opened(tables.test))
        prepared = _prepared(table, plan)
        voice.plan(table, prepared)
        if test is not None:
            check_test(prepared.preprocessing, test)
        model, notes = _fitted(prepared, settings, manner)
        outputs.write(encode(model.to_model_record()))
        with _written(outputs.file):
            voice.notes(notes)
            voice.network(model)
            parts = _scored(model, prepared)
            if test is not None:
                parts["test"] = _evaluated(model, test)
            voice.scores(parts)
            voice.wrote("model", outputs.file)
            if outputs.plots is not None:
                last = list(parts.values())[-1]
                for picture in draw(model, last, outputs.plots, overwrite=outputs.force):
                    voice.wrote("picture", picture)
            voice.end()


def _prepared(table: Table | Source, plan: Plan) -> Prepared | PreparedStream:
    return prepare_stream(table, plan) if isinstance(table, Source) else prepare(table, plan)


def _fitted(
    prepared: Prepared | PreparedStream, settings: Settings, manner: Manner
) -> tuple[TableModel, list[str]]:
    """Train in memory or from the files; return the warnings on the way, too, each once."""
    bars = _bars(settings, manner)
    with warnings.catch_warnings(record=True) as caught, leaving(_left_of(settings)):
        warnings.simplefilter("always")
        if isinstance(prepared, PreparedStream):
            model = fit_stream(prepared, settings, bars)
        else:
            model = fit(prepared, settings, bars)
    return model, list(dict.fromkeys(str(warning.message) for warning in caught))


def _scored(model: TableModel, prepared: Prepared | PreparedStream) -> dict[str, Evaluation]:
    """Score the parts held out."""
    if isinstance(prepared, PreparedStream):
        return evaluate_parts(model, prepared)
    return score_parts(model, prepared)


@contextmanager
def _written(file: Path) -> Iterator[None]:
    """Say, with whatever goes wrong from here on, that the model is there."""
    what = f"the model is written: {file}"
    with leaving(what):
        try:
            yield
        except DeltaruleError as error:
            raise type(error)(f"{str(error).rstrip('.')}; {what}") from error


def evaluate(model_path: Path, path: Path, unseen: Unseen, manner: Manner) -> None:
    """Print how a model does on a table."""
    voice = manner.voice("evaluate")
    model = TableModel.load(model_path)
    with opened(path) as table:
        voice.scores({table.path.name: _evaluated(model, table, unseen)})
    voice.end()


def _evaluated(model: TableModel, table: Table | Source, unseen: Unseen = "other") -> Evaluation:
    if isinstance(table, Source):
        return evaluate_stream(model, table, unseen)
    return model.evaluate(table, unseen)


def predict(
    model_path: Path,
    path: Path,
    outputs: Outputs,
    unseen: Unseen,
    manner: Manner,
    *,
    keep: bool,
    escape: bool,
) -> None:
    """Write a model's predictions for a table, piece by piece."""
    outputs.check(_reads(model_path) | {"the table": path})
    voice = manner.voice("predict", outputs.file)
    model = TableModel.load(model_path)
    with opened_source(path) as source:
        predictions = StreamedPredictions(model, source, unseen, keep=keep, escape=escape)
        outputs.write_pieces(predictions)
    voice.notes(predictions.surprises.sentences())
    voice.wrote("predictions", outputs.file, predictions.rows)
    voice.end()


def export(model_path: Path, outputs: Outputs, dtype: str, unseen: Unseen, manner: Manner) -> None:
    """Write a model of a table, or an estimator that was saved, as an ONNX file."""
    outputs.check(_reads(model_path), binary="an ONNX file")
    if read_model_record(model_path).kind == "table":
        graph = TableModel.load(model_path).to_onnx(dtype=dtype, unseen=unseen)
    else:
        model = load(model_path)
        if not hasattr(model, "to_onnx"):
            raise ModelFileError(
                f"{model_path} holds a {type(model).__name__}, which cannot be exported; save and "
                "export its MLPClassifier or MLPRegressor alone"
            )
        graph = model.to_onnx(dtype=dtype)
    outputs.write(to_bytes(graph))
    voice = manner.voice("export", outputs.file)
    voice.exported(
        outputs.file,
        dtype=dtype,
        opset=graph.opset_import[0].version,
        inputs=[value.name for value in graph.graph.input],
        outputs=[value.name for value in graph.graph.output],
    )
    voice.end()


def check(model_path: Path, path: Path, manner: Manner) -> int:
    """Print a gradient check; return 1 if the gradient is wrong, else 0."""
    voice = manner.voice("check")
    model = TableModel.load(model_path)
    with opened_table(path) as table:
        report = model.check(table)
    voice.check(report)
    voice.end()
    return 1 if report.verdict == "wrong" else 0


def _reads(model_path: Path) -> dict[str, Path | None]:
    """Return the model by what it is called; one whose name is - is a file, too."""
    return {"the model": model_path.absolute()}


def _bars(settings: Settings, manner: Manner) -> tuple[Any, ...]:
    """Return a bar of the epochs, where somebody can see it move."""
    seen = sys.stderr.isatty() and not manner.quiet
    return (EpochBar(settings.epochs),) if seen else ()


def _left_of(settings: Settings) -> str:
    """Return what a training that is cut off leaves behind."""
    if settings.checkpoint is None:
        return "nothing was written"
    return (
        f"a checkpoint is in {settings.checkpoint.folder}: the same command with --resume goes on"
    )
