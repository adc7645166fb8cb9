"""The output of a command as text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from deltarule.cli.stdio import silence, writing
from deltarule.tables.messages import listing, show
from deltarule.tables.record import Classes

if TYPE_CHECKING:
    from deltarule.tables import Evaluation, Prepared, Source, TableModel

__all__ = ["TextReporter"]

SHOWN_COLUMNS = 50
"""Of tables with more columns, only the first are printed."""


class _Console(Console):
    """A console that stops printing when its reader closes it; rich's console would exit."""

    def on_broken_pipe(self) -> None:
        self.quiet = True
        silence(self.file)


class TextReporter:
    """Prints the results of a command as text, or nothing if quiet.

    Parameters
    ----------
    quiet : bool
        Whether to print nothing at all.
    stderr : bool
        Whether to print on the standard error stream, because standard output carries a file.
    """

    def __init__(self, *, quiet: bool = False, stderr: bool = False) -> None:
        self._console = _Console(
            quiet=quiet, stderr=stderr, highlight=False, markup=False, emoji=False
        )

    def say(self, text: str = "") -> None:
        """Print a line."""
        self._print(text, soft_wrap=True)

    def _print(self, thing: str | Grid, *, soft_wrap: bool = False) -> None:
        with writing(self._console.file):
            self._console.print(thing, soft_wrap=soft_wrap)

    def notes(self, notes: Sequence[str]) -> None:
        """Print notes for the user, one per line."""
        for note in notes:
            self.say(f"note: {' '.join(note.split())}")

    def plan(self, table: Source, prepared: Prepared) -> None:
        """Print the target, the split of the rows and the seeds."""
        record, provenance = prepared.preprocessing, prepared.provenance
        features = sum(column.width for column in record.columns)
        self.say(
            f"{table.path}: {table.rows} rows; {len(record.columns)} columns give {features} inputs"
        )
        self._columns(prepared)
        self.say(f"{record.target.task} of {show(record.target.name)}: {prepared.reason}")
        if isinstance(record.target, Classes):
            labels = record.target.labels
            self.say(f"{len(labels)} classes: {listing(labels)}")
        self.say(
            f"rows: {provenance.training_rows} training, {provenance.dev_rows} dev, "
            f"{provenance.test_rows} test"
        )
        self.say(
            f"seeds: {provenance.seed}, from it split {provenance.split_seed} and network "
            f"{provenance.network_seed}"
        )
        self.notes(prepared.notes)

    def _columns(self, prepared: Prepared) -> None:
        """Print what each column was taken for; of many columns only how many there are."""
        target = prepared.preprocessing.target.name
        columns = [c for c in prepared.understanding.columns.values() if c.name != target]
        shown = columns if len(columns) <= SHOWN_COLUMNS else columns[: SHOWN_COLUMNS - 1]
        grid = _grid("column", "holds", "missing", left=2)
        for column in shown:
            why = f": {column.reason}" if column.kind == "left out" else ""
            grid.add_row(_plain(column.name), _plain(column.in_words + why), str(column.missing))
        self._print(grid)
        if len(columns) > len(shown):
            counts = Counter(column.kind for column in columns[len(shown) :])
            more = ", ".join(f"{count} {kind}" for kind, count in counts.items())
            self.say(f"and {len(columns) - len(shown)} more columns: {more}")

    def network(self, model: TableModel) -> None:
        """Print the shape of the trained network and how its training ended."""
        summary = model.training_summary()
        widths = " → ".join(map(str, summary.widths))
        self.say(f"network: {widths}, {summary.parameters} parameters")
        self.say(
            f"trained for {summary.epochs} epochs; kept the parameters of epoch "
            f"{summary.best_epoch}, the best on the dev rows"
        )

    def check(self, report: Any) -> None:
        """Print a gradient check."""
        self.say(str(report))

    def wrote(self, what: str, path: object, count: int | None = None) -> None:
        """Print the name of a file that was written."""
        if what == "predictions":
            self.say(f"wrote {count} predictions: {path}")
        else:
            self.say(f"saved the model: {path}" if what == "model" else f"drew {path}")

    def exported(
        self, path: object, *, dtype: str, opset: int, inputs: list[str], outputs: list[str]
    ) -> None:
        """Print the inputs and outputs of an ONNX file."""
        self.say(f"wrote {path}: {dtype}, opset {opset}")
        self.say(f"inputs: {listing(inputs)}")
        self.say(f"outputs: {listing(outputs)}")

    def end(self) -> None:
        """Do nothing: everything has been printed already."""

    def scores(self, parts: dict[str, Evaluation]) -> None:
        """Print scores, a column for each part, and those of each class of the last part."""
        grid = _grid("", *parts)
        for name in next(iter(parts.values())).scores:
            grid.add_row(name, *(_number(part.scores[name]) for part in parts.values()))
        grid.add_row("rows", *(str(part.rows) for part in parts.values()))
        self._print(grid)
        part, evaluation = list(parts.items())[-1]
        if evaluation.classes:
            grid = _grid(f"{part} rows of class", "precision", "recall", "F1", "rows")
            for score in evaluation.classes:
                numbers = (_number(v) for v in (score.precision, score.recall, score.f1))
                grid.add_row(_plain(score.label), *numbers, str(score.rows))
            self._print(grid)
        if not evaluation.beats_baseline:
            self.say(
                f"note: on the {part} rows this is no better than the baseline; look at the "
                "columns, or train with a lower --learning-rate or another --seed"
            )
        for evaluation in parts.values():
            self.notes(evaluation.notes)


def _grid(*headings: str, left: int = 1) -> Grid:
    grid = Grid(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="bold")
    for index, heading in enumerate(headings):
        side: Literal["left", "right"] = "right" if index >= left else "left"
        grid.add_column(_plain(heading), justify=side, no_wrap=True)
    return grid


def _plain(text: Any) -> Text:
    """Return a text without markup and without characters that move the cursor."""
    return Text("".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in str(text)))


def _number(value: float) -> str:
    return f"{value:.4f}" if abs(value) < 1000 else f"{value:.6g}"
