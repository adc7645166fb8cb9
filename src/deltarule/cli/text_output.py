"""The output of a command as text."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal

from deltarule.cli.stdio import printing
from deltarule.tables.messages import listing, show
from deltarule.tables.record import Classes
from deltarule.tables.split import time_text

if TYPE_CHECKING:
    from rich.table import Table as Grid
    from rich.text import Text

    from deltarule.tables import Description, Evaluation, Prepared, Source, TableModel, Understood
    from deltarule.tables.tabular.tuning import Found
    from deltarule.tables.tuning.study import Outcome

__all__ = ["TextReporter"]

SHOWN_COLUMNS = 50
"""Of tables with more columns, only the first are printed."""
_SCORES = {
    "accuracy": "accuracy",
    "roc_auc": "ROC AUC",
    "average_precision": "average precision",
    "macro_f1": "macro F1",
    "log_loss": "log loss",
    "r2": "R²",
    "rmse": "RMSE",
    "mae": "MAE",
}
"""The names of scores for people."""
_PARTS = {"out_of_fold": "out of fold"}
"""The names of parts for people, where they are others."""


_OUTCOMES: dict[Outcome, str] = {
    "complete": "complete",
    "pruned": "given up because it fell behind",
    "stopped": "stopped by the end of the search",
    "failed": "failed",
}
"""What became of the recipes that a search tried, for people."""


_CURSOR = dict.fromkeys((7, 8, 11, 12, 13))
"""Characters that ring, or move the cursor: they are not printed."""


class TextReporter:
    """Prints the results of a command as text, or nothing if quiet.

    Rich, which takes longer to import than a prediction, is imported for grids alone.

    Parameters
    ----------
    quiet : bool
        Whether to print nothing at all.
    stderr : bool
        Whether to print on the standard error stream, because standard output carries a file.
    """

    def __init__(self, *, quiet: bool = False, stderr: bool = False) -> None:
        self._quiet, self._stderr = quiet, stderr

    def say(self, text: str = "") -> None:
        """Print a line."""
        stream = sys.stderr if self._stderr else sys.stdout
        if not self._quiet:
            with printing(stream):
                print(text.translate(_CURSOR), file=stream, flush=True)

    def _print(self, grid: Grid) -> None:
        from rich.console import Console

        # A grid takes the width that it needs: a terminal may break lines, but no name is cut.
        console = Console(stderr=self._stderr, width=10_000)
        with console.capture() as drawn:
            console.print(grid)
        self.say(drawn.get().removesuffix("\n"))

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
        target = record.target.name
        self._columns(c for c in prepared.understanding.columns.values() if c.name != target)
        self.say(f"{record.target.task} of {show(record.target.name)}: {prepared.reason}")
        if isinstance(record.target, Classes):
            labels = record.target.labels
            self.say(f"{len(labels)} classes: {listing(labels)}")
        elif record.target.transform != "none":
            learned = record.target.learned
            self.say(f"learned is {learned} (--target-transform); predicted is {show(target)}")
        self.say(
            f"rows: {provenance.training_rows} training, {provenance.dev_rows} dev, "
            f"{provenance.test_rows} test"
        )
        time = provenance.time
        if time is not None:
            test = time.test_from
            self.say(
                f"split by the time in {show(time.column)}: dev from "
                f"{time_text(time.notation, time.dev_from)}"
                + ("" if test is None else f", test from {time_text(time.notation, test)}")
            )
        if prepared.folds > 1:
            self.say(
                f"ensemble of {prepared.folds} networks, each without another fold of the rows"
            )
        else:
            self.say(f"one network: {prepared.why_one}")
        self.say(
            f"seeds: {provenance.seed}, from it split {provenance.split_seed} and network "
            f"{provenance.network_seed}"
        )
        self.notes(prepared.notes)

    def description(self, table: Source, found: Description) -> None:
        """Print what a table holds, and what its target would be learned as."""
        every = found.understanding.columns
        self.say(f"{table.path}: {found.rows} rows, {len(every)} columns")
        self._columns(column for column in every.values() if column.name != found.target)
        if found.decision is not None:
            missing = every[found.target or ""].missing
            without = f"; {missing} rows have none" if missing else ""
            self.say(
                f"{found.decision.task} of {show(found.target)}: {found.decision.reason}{without}"
            )
        if found.classes:
            rows = sorted(found.classes.items(), key=lambda item: -item[1])
            some = ", ".join(f"{show(label)} {count}" for label, count in rows[:8])
            more = f" and {len(rows) - 8} more" if len(rows) > 8 else ""
            self.say(f"{len(rows)} classes: {some}{more}")
        self.notes(found.notes)
        if found.problem:
            self.say(
                f"problem: training would refuse this table: {' '.join(found.problem.split())}"
            )

    def _columns(self, understood: Iterable[Understood]) -> None:
        """Print what each column was taken for; of many columns only how many there are."""
        columns = list(understood)
        shown = columns if len(columns) <= SHOWN_COLUMNS else columns[: SHOWN_COLUMNS - 1]
        marked = any(column.marks for column in shown)
        grid = _grid("column", "holds", "missing", *["of them"] * marked, left=2)
        for column in shown:
            why = f": {column.reason}" if column.kind in ("left out", "unclear") else ""
            why = why.partition("; ")[0] if column.kind == "unclear" else why
            marks = ", ".join(f"{show(mark, 12)} {n}" for mark, n in column.marks.items())
            name = column.name if len(column.name) <= 60 else f"{column.name[:59]}…"
            cells = (name, column.in_words + why, column.missing, *[marks] * marked)
            grid.add_row(*map(_plain, cells))
        self._print(grid)
        if len(columns) > len(shown):
            counts = Counter(column.kind for column in columns[len(shown) :])
            more = ", ".join(f"{count} {kind}" for kind, count in counts.items())
            self.say(f"and {len(columns) - len(shown)} more columns: {more}")

    def search(self, found: Found) -> None:
        """Print what a search has found."""
        counts = Counter(one.outcome for one in found.tried)
        said = ", ".join(
            f"{counts[kind]} {words}" for kind, words in _OUTCOMES.items() if kind in counts
        )
        recipes = "1 recipe" if len(found.tried) == 1 else f"{len(found.tried)} recipes"
        self.say(f"tried {recipes}" + (f": {said}" if said else ""))
        if not counts["complete"]:
            self.say(f"the model is that of the defaults, with loss {found.default_loss:.5g}")
            return
        for number, one in enumerate(found.tried, 1):
            if one.recipe in found.recipes:
                settings = ", ".join(
                    f"{name} {_setting(value)}" for name, value in one.recipe.items()
                )
                self.say(f"recipe {number}, loss {one.loss:.5g}: {settings}")
        better = "better than" if found.recipes else "no better than"
        self.say(
            f"on rows held out the found recipes are {better} the defaults: loss {found.loss:.5g}"
            f", with the defaults {found.default_loss:.5g}"
        )

    def networks(self, model: TableModel) -> None:
        """Print the shapes of the trained networks and how their training ended."""
        summaries = model.training_summaries()
        for number, summary in enumerate(summaries, 1):
            shape = f"{' → '.join(map(str, summary.widths))}, {summary.parameters} parameters"
            if len(summaries) > 1:
                self.say(
                    f"network {number}: {shape}; epoch {summary.best_epoch} of {summary.epochs} "
                    "was the best on its fold"
                )
                continue
            self.say(f"network: {shape}")
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
            place = "the standard output" if str(path) == "-" else path
            self.say(f"wrote {count} predictions: {place}")
        elif what == "explanation":
            self.say(f"wrote the explanation: {path}")
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
        grid = _grid("", *(word for part in parts for word in (_PARTS.get(part, part), "baseline")))
        every = list(parts.values())
        for key in every[0].scores:
            if not key.startswith("baseline_"):
                pairs = ((part.scores[key], part.scores[f"baseline_{key}"]) for part in every)
                grid.add_row(_SCORES[key], *(_number(value) for pair in pairs for value in pair))
        grid.add_row("rows", *(word for part in every for word in (str(part.rows), "")))
        self._print(grid)
        part, evaluation = list(parts.items())[-1]
        part = _PARTS.get(part, part)
        if evaluation.classes:
            two = evaluation.positive is not None
            last = ["average precision"] * two
            grid = _grid(f"{part} rows of class", "precision", "recall", "F1", *last, "rows")
            for score in evaluation.classes:
                values = [score.precision, score.recall, score.f1]
                values += [] if score.average_precision is None else [score.average_precision]
                grid.add_row(_plain(score.label), *map(_number, values), str(score.rows))
            self._print(grid)
        if evaluation.verdict:
            self.notes([f"on the {part} rows {evaluation.verdict}"])
        for evaluation in parts.values():
            self.notes(evaluation.notes)


def _setting(value: Any) -> str:
    """Return a setting of a network as text."""
    if isinstance(value, list):
        return "-".join(map(str, value))
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _grid(*headings: str, left: int = 1) -> Grid:
    from rich.table import Table as Grid

    grid = Grid(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="bold")
    for index, heading in enumerate(headings):
        side: Literal["left", "right"] = "right" if index >= left else "left"
        grid.add_column(_plain(heading), justify=side, no_wrap=True)
    return grid


def _plain(text: Any) -> Text:
    """Return a text without markup and without characters that move the cursor."""
    from rich.text import Text

    return Text("".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in str(text)))


def _number(value: float) -> str:
    if value != value:
        return "–"  # these rows do not define it
    return f"{value:.4f}" if abs(value) < 1000 else f"{value:.6g}"
