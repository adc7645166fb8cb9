"""The files that a command writes: never over its own inputs, nor over others unasked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from deltarule.cli.pictures import check_pictures
from deltarule.cli.streams import check_stdout, is_stream, write_stdout
from deltarule.errors import OutputError
from deltarule.storage import check_writable, write_atomically
from deltarule.tables import write_pieces

__all__ = ["Outputs", "check_apart"]


@dataclass(frozen=True)
class Outputs:
    """Where a command writes: a file, a folder of pictures, and whether over old files."""

    file: Path
    plots: Path | None = None
    force: bool = False

    def check(self, inputs: Mapping[str, Path | None], *, binary: str = "") -> None:
        """Refuse early what could not be written at the end.

        Parameters
        ----------
        inputs : mapping of str to Path or None
            What the command reads, by what it is called; None is not given.
        binary : str
            What the file is called, if it is no text for a terminal.
        """
        if is_stream(self.file):
            check_stdout(binary)
        else:
            check_apart(self.file, inputs)
            check_writable(self.file, overwrite=self.force)
        if self.plots is not None:
            check_apart(self.plots / "picture", inputs)
            check_pictures(self.plots, overwrite=self.force)

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


def check_apart(output: Path, inputs: Mapping[str, Path | None]) -> None:
    """Refuse an output in the place of an input, or in the folder that is one.

    The first would destroy what is read, by whatever name it goes; the second would be read as a
    part of the table the next time.

    Raises
    ------
    OutputError
        It names both.
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
    """Whether two paths lead to the same file; what is not there is reported by who reads it."""
    try:
        return a.samefile(b)
    except OSError:
        return False
