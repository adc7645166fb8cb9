"""What each command does, in the order in which it does it."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deltarule.cli.progress import EpochBar
from deltarule.cli.show import Screen
from deltarule.errors import MissingDependencyError, ModelFileError, OutputError
from deltarule.files import load, read_contents
from deltarule.files.atomic import check_writable, write_atomically
from deltarule.tables import (
    Evaluation,
    Plan,
    Prepared,
    Settings,
    TableModel,
    fit,
    predictions_csv,
    prepare,
    read_table,
)
from deltarule.tables.preprocessing import Unseen
from deltarule.tables.table import listing

__all__ = ["Outputs", "check", "evaluate", "export", "predict", "train"]


@dataclass(frozen=True)
class Outputs:
    """Where a command writes: a file, a folder of pictures, whether over old files, how loudly."""

    file: Path
    plots: Path | None
    force: bool
    quiet: bool


def train(
    path: Path, plan: Plan, settings: Settings, outputs: Outputs, test_file: Path | None
) -> TableModel:
    """Train on a table, report, save, and draw. What cannot be written is refused at the start."""
    check_writable(outputs.file, overwrite=outputs.force)
    if outputs.plots is not None:
        _check_pictures(outputs.plots, overwrite=outputs.force)
    screen = Screen(quiet=outputs.quiet)
    table = read_table(path)
    test_table = None if test_file is None else read_table(test_file)
    prepared = prepare(table, plan)
    screen.plan(table, prepared)
    with _warnings_as_notes(screen):
        bar = () if outputs.quiet else (EpochBar(settings.epochs),)
        model = fit(prepared, settings, bar)
    screen.network(model)
    parts = _evaluations(model, prepared)
    if test_table is not None:
        parts["test"] = model.evaluate(test_table)
    screen.scores(parts)
    model.save(outputs.file, overwrite=outputs.force)
    screen.say(f"saved the model: {outputs.file}")
    if outputs.plots is not None:
        for picture in _draw(model, list(parts.values())[-1], outputs):
            screen.say(f"drew {picture}")
    return model


def evaluate(model_path: Path, path: Path, unseen: Unseen) -> None:
    """Print how a model does on a table."""
    model = TableModel.load(model_path)
    Screen().scores({path.name: model.evaluate(read_table(path), unseen)})


def predict(
    model_path: Path, path: Path, outputs: Outputs, unseen: Unseen, *, keep: bool, escape: bool
) -> None:
    """Write a model's predictions for a table."""
    check_writable(outputs.file, overwrite=outputs.force)
    screen = Screen(quiet=outputs.quiet)
    model, table = TableModel.load(model_path), read_table(path)
    predictions = model.predict(table, unseen)
    data = predictions_csv(predictions, table if keep else None, escape=escape)
    write_atomically(outputs.file, data, overwrite=outputs.force)
    screen.notes(predictions.notes)
    screen.say(f"wrote {len(predictions.values)} predictions: {outputs.file}")


def export(model_path: Path, outputs: Outputs, dtype: str, unseen: Unseen) -> None:
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
    screen = Screen(quiet=outputs.quiet)
    screen.say(f"wrote {outputs.file}: {dtype}, opset {written.opset_import[0].version}")
    screen.say(f"inputs: {listing(value.name for value in written.graph.input)}")
    screen.say(f"outputs: {listing(value.name for value in written.graph.output)}")


def check(model_path: Path, path: Path) -> int:
    """Print a gradient check; return 1 if the gradient is wrong, else 0."""
    report = TableModel.load(model_path).check(read_table(path))
    Screen().say(str(report))
    return 1 if report.verdict == "wrong" else 0


def _evaluations(model: TableModel, prepared: Prepared) -> dict[str, Evaluation]:
    parts = {"dev": model.compare(prepared.dev.X, prepared.dev.y)}
    if len(prepared.test.y):
        parts["test"] = model.compare(prepared.test.X, prepared.test.y)
    return parts


@contextmanager
def _warnings_as_notes(screen: Screen) -> Iterator[None]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    screen.notes(list(dict.fromkeys(str(warning.message) for warning in caught)))


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
