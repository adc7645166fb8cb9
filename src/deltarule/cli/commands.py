"""What each command does, in the order in which it does it."""

from __future__ import annotations

import io
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deltarule.cli.progress import EpochBar
from deltarule.cli.results import Results
from deltarule.cli.show import Screen
from deltarule.cli.signals import leaving
from deltarule.cli.streams import (
    check_stdout,
    is_stream,
    opened,
    opened_source,
    opened_table,
    write_stdout,
)
from deltarule.errors import MissingDependencyError, ModelFileError, OutputError
from deltarule.files import check_writable, encode, read_contents, write_atomically
from deltarule.persistence import load
from deltarule.tables import (
    Evaluation,
    Plan,
    Settings,
    Source,
    StreamedPredictions,
    Table,
    TableModel,
    evaluate_parts,
    evaluate_stream,
    fit,
    fit_stream,
    prepare,
    prepare_stream,
    score_parts,
    write_pieces,
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


@dataclass(frozen=True)
class Outputs:
    """Where a command writes: a file, a folder of pictures, and whether over old files."""

    file: Path
    plots: Path | None = None
    force: bool = False

    def check(self, what: str) -> None:
        """Refuse early what could not be written at the end."""
        if is_stream(self.file):
            if what == "a model":
                check_stdout(what)
        else:
            check_writable(self.file, overwrite=self.force)
        if self.plots is not None:
            _check_pictures(self.plots, overwrite=self.force)

    def write(self, data: bytes) -> None:
        """Write the file, whole or not at all."""
        if is_stream(self.file):
            write_stdout([data])
        else:
            write_atomically(self.file, data, overwrite=self.force)

    def write_pieces(self, pieces: Iterable[bytes]) -> None:
        """Write a file of any size; to the standard output while it is made."""
        if is_stream(self.file):
            write_stdout(pieces)
        else:
            write_pieces(self.file, pieces, overwrite=self.force)


@dataclass(frozen=True)
class Tables:
    """The tables of a training: to learn from, to test on, and whether to leave it in its files."""

    training: Path
    test: Path | None = None
    stream: bool | None = None


def train(tables: Tables, plan: Plan, settings: Settings, outputs: Outputs, manner: Manner) -> None:
    """Train on a table, report, save, and draw. What cannot be written is refused at the start."""
    outputs.check("a model")
    voice = manner.voice("train", outputs.file)
    with ExitStack() as stack:
        table = stack.enter_context(opened(tables.training, tables.stream))
        test = None if tables.test is None else stack.enter_context(opened(tables.test))
        model, parts = _trained(table, plan, settings, manner, voice)
        if test is not None:
            parts["test"] = _evaluated(model, test)
        voice.scores(parts)
    outputs.write(encode(model.to_contents()))
    voice.wrote("model", outputs.file)
    if outputs.plots is not None:
        for picture in _draw(model, list(parts.values())[-1], outputs):
            voice.wrote("picture", picture)
    voice.end()


def _trained(
    table: Table | Source, plan: Plan, settings: Settings, manner: Manner, voice: Screen | Results
) -> tuple[TableModel, dict[str, Evaluation]]:
    """Train in memory or from the files, and score the parts held out."""
    bars = _bars(settings, manner)
    if isinstance(table, Source):
        streamed = prepare_stream(table, plan)
        voice.plan(table, streamed)
        with _warnings_as_notes(voice), leaving(_left_of(settings)):
            model = fit_stream(streamed, settings, bars)
        voice.network(model)
        return model, evaluate_parts(model, streamed)
    prepared = prepare(table, plan)
    voice.plan(table, prepared)
    with _warnings_as_notes(voice), leaving(_left_of(settings)):
        model = fit(prepared, settings, bars)
    voice.network(model)
    return model, score_parts(model, prepared)


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
    outputs.check("a table")
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
    check_writable(outputs.file, overwrite=outputs.force)
    if outputs.file.exists() and model_path.exists() and outputs.file.samefile(model_path):
        raise OutputError(f"{outputs.file} is the model itself; choose another name")
    given: dict[str, Any] = {"overwrite": outputs.force, "dtype": dtype}
    if read_contents(model_path).kind == "table":
        written = TableModel.load(model_path).to_onnx(outputs.file, unseen=unseen, **given)
    else:
        model = load(model_path)
        if not hasattr(model, "to_onnx"):
            raise ModelFileError(
                f"{model_path} holds a {type(model).__name__}, which cannot be exported; save and "
                "export its MLPClassifier or MLPRegressor alone"
            )
        written = model.to_onnx(outputs.file, **given)
    voice = manner.voice("export")
    voice.exported(
        outputs.file,
        dtype=dtype,
        opset=written.opset_import[0].version,
        inputs=[value.name for value in written.graph.input],
        outputs=[value.name for value in written.graph.output],
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


def _bars(settings: Settings, manner: Manner) -> tuple[Any, ...]:
    """Return a bar of the epochs, where somebody can see it move."""
    seen = sys.stderr.isatty() and not manner.quiet
    return (EpochBar(settings.epochs),) if seen else ()


@contextmanager
def _warnings_as_notes(voice: Screen | Results) -> Iterator[None]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    voice.notes(list(dict.fromkeys(str(warning.message) for warning in caught)))


def _left_of(settings: Settings) -> str:
    """Return what a training that is cut off leaves behind."""
    if settings.checkpoint is None:
        return "nothing was written"
    return (
        f"a checkpoint is in {settings.checkpoint.folder}: the same command with --resume goes on"
    )


def _check_pictures(folder: Path, *, overwrite: bool) -> None:
    try:
        import matplotlib
    except ImportError:
        raise MissingDependencyError(
            'pictures need matplotlib, which is not installed: pip install "deltarule[plots]"'
        ) from None
    matplotlib.use("agg")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise OutputError(f"cannot make the folder {folder}: {reason}") from None
    for name in ("learning-curve.png", "confusion-matrix.png", "predictions.png"):
        check_writable(folder / name, overwrite=overwrite)


def _draw(model: TableModel, evaluation: Evaluation, outputs: Outputs) -> Iterator[Path]:
    from deltarule import plots

    assert outputs.plots is not None
    y_true, y_pred = evaluation.y_true, evaluation.y_pred
    pictures: dict[str, Callable[[], Any]] = {
        "learning-curve.png": lambda: plots.plot_learning_curve(model.estimator)
    }
    if evaluation.task == "classification":
        pictures["confusion-matrix.png"] = lambda: plots.plot_confusion_matrix(y_true, y_pred)
    else:
        pictures["predictions.png"] = lambda: plots.plot_predictions(y_true, y_pred)
    for name, draw in pictures.items():
        path = outputs.plots / name
        write_atomically(path, _png(draw()), overwrite=outputs.force)
        yield path


def _png(axes: Any) -> bytes:
    from matplotlib import pyplot

    buffer = io.BytesIO()
    axes.figure.savefig(buffer, format="png", dpi=150)
    pyplot.close(axes.figure)
    return buffer.getvalue()
