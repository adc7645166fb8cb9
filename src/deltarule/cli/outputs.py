"""The files that a command writes: never over its inputs, and over others only with --overwrite."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from deltarule.cli.plots import TRAINING_PICTURES, check_plots
from deltarule.cli.stdio import check_stdout, is_stream, write_stdout
from deltarule.errors import OutputError
from deltarule.storage import check_writable, write_atomically, write_chunks

__all__ = ["Outputs", "check_apart"]

_OTHER_FORMATS = {".parquet", ".pq", ".feather", ".arrow", ".xlsx", ".xls", ".json"}


@dataclass(frozen=True)
class Outputs:
    """A file, a folder of plots, and whether existing files are replaced."""

    file: Path
    plots: Path | None = None
    overwrite: bool = False

    def check(
        self, inputs: Mapping[str, Path | None], *, binary: str = "", csv: bool = False
    ) -> None:
        """Refuse what could not be written, before any work is done.

        Parameters
        ----------
        inputs : mapping of str to Path or None
            The files that the command reads, by their names in messages; None if not given.
        binary : str
            Name of the file in messages, if it must not be printed on a terminal.
        csv : bool
            Whether the file is CSV text, which no program would look for in ``p.parquet``.
        """
        if csv and self.file.suffix.lower() in _OTHER_FORMATS:
            raise OutputError(
                f"{self.file} would be CSV text under the name of another format; choose a name "
                f"such as {self.file.with_suffix('.csv')}"
            )
        if is_stream(self.file):
            check_stdout(binary)
        else:
            check_apart(self.file, inputs)
            check_writable(self.file, overwrite=self.overwrite)
        if self.plots is not None:
            check_apart(self.plots / "picture", inputs)
            check_plots(self.plots, TRAINING_PICTURES, overwrite=self.overwrite)

    def write(self, data: bytes) -> None:
        """Write the file completely or not at all."""
        if is_stream(self.file):
            write_stdout([data])
        else:
            write_atomically(self.file, data, overwrite=self.overwrite)

    def write_chunks(self, chunks: Iterable[bytes]) -> None:
        """Write a file of any size; on standard output, each chunk as soon as it is made."""
        if is_stream(self.file):
            write_stdout(chunks)
        else:
            write_chunks(self.file, chunks, overwrite=self.overwrite)


def check_apart(output: Path, inputs: Mapping[str, Path | None]) -> None:
    """Refuse an output that is an input, under any name, or is inside a folder that is an input.

    It would destroy the input, or be read as a part of the table the next time.

    Raises
    ------
    OutputError
        The message names both.
    """
    folder = output.parent.resolve()
    for name, given in inputs.items():
        if given is None or is_stream(given):
            continue
        if _same(output, given):
            raise OutputError(f"{output} is {name} itself; choose another name")
        if any(_same(place, given) for place in (folder, *folder.parents)):
            raise OutputError(f"{output} is inside {name}, {given}; choose a place outside of it")


def _same(a: Path, b: Path) -> bool:
    """Whether two paths lead to the same file; a missing file is reported where it is read."""
    try:
        return a.samefile(b)
    except OSError:
        return False
