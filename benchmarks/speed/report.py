"""Tables, printed on the screen or written into a document."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table as Grid

__all__ = ["Table", "console", "mark", "put"]

WIDTH = 110
_NUMBER = re.compile(r"[\d.,]+(e[+-]?\d+)?( ?(×|s|ms|µs|MiB))?( [✓✗])?")


@dataclass(frozen=True)
class Table:
    """Title, column names and rows; columns of numbers are aligned to the right."""

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]]
    note: str = ""

    def show(self, screen: Console) -> None:
        """Print the table."""
        screen.print(self.title, style="bold", markup=False, highlight=False)
        grid = Grid(box=box.SIMPLE_HEAD)
        for place, name in enumerate(self.columns):
            numbers = self._is_numeric(place)
            grid.add_column(name, justify="right" if numbers else "left", no_wrap=numbers)
        for row in self.rows:
            grid.add_row(*map(escape, row))
        screen.print(grid)
        if self.note:
            screen.print(self.note, markup=False, highlight=False)

    def markdown(self) -> str:
        """Return the table as Markdown."""
        rules = ("---:" if self._is_numeric(k) else "---" for k in range(len(self.columns)))
        lines = [f"**{self.title}**", "", _line(self.columns), f"|{'|'.join(rules)}|"]
        lines += [_line(row) for row in self.rows]
        return "\n".join([*lines, *(["", self.note] if self.note else [])])

    def _is_numeric(self, place: int) -> bool:
        cells = [row[place] for row in self.rows if row[place] not in ("", "–")]
        return bool(cells) and all(_NUMBER.fullmatch(cell) for cell in cells)


def _line(cells: tuple[str, ...]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def console() -> Console:
    """Return the console; output to a file or pipe is wide enough for a table."""
    screen = Console()
    return screen if screen.is_terminal else Console(width=WIDTH)


def mark(met: bool | None) -> str:
    """Return a tick if the target is met, a cross if not, nothing if there is none."""
    return {True: " ✓", False: " ✗", None: ""}[met]


def put(document: Path, name: str, text: str) -> None:
    """Replace the text between the document's markers of that name.

    If the document or its markers do not exist, they are added at the end.
    """
    begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
    whole = document.read_text(encoding="utf-8") if document.exists() else ""
    if begin not in whole or end not in whole:
        whole = f"{whole}\n{begin}\n{end}\n".lstrip()
    head, rest = whole.split(begin, 1)
    tail = rest.split(end, 1)[1]
    document.write_text(f"{head}{begin}\n\n{text.strip()}\n\n{end}{tail}", encoding="utf-8")
