"""The options for output: files, text or JSON."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deltarule.cli.options import parse_path
from deltarule.cli.stdio import is_stream

if TYPE_CHECKING:
    from deltarule.cli.json_output import JsonReporter
    from deltarule.cli.text_output import TextReporter

__all__ = [
    "ExplanationOptions",
    "ModelFileOptions",
    "ModelPictureOptions",
    "OutputOptions",
    "OverwriteOption",
    "PictureOptions",
    "PredictionFileOptions",
    "check_streams",
]

OverwriteOption = Annotated[
    bool,
    typer.Option(
        "--overwrite", "--force", "-f", help="Replace existing files.", rich_help_panel="Output"
    ),
]


@dataclass(frozen=True)
class ModelFileOptions:
    """Output."""

    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            parser=parse_path,
            help="The model file to write, or -; by default TABLE's name.safetensors.",
        ),
    ] = None
    plots: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write pictures of the data and the training there."),
    ] = None
    overwrite: OverwriteOption = False


@dataclass(frozen=True)
class PictureOptions:
    """Output."""

    plots: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write a picture of the data there.")
    ] = None
    overwrite: OverwriteOption = False


@dataclass(frozen=True)
class ModelPictureOptions:
    """Output."""

    plots: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Write the pictures there; by default in MODEL's name-plots."
        ),
    ] = None
    overwrite: OverwriteOption = False


@dataclass(frozen=True)
class ExplanationOptions:
    """Output."""

    row: Annotated[
        list[int] | None,
        typer.Option(
            min=1, metavar="N", help="A row of the table, counted from 1; repeatable [default: 1]."
        ),
    ] = None
    training: Annotated[
        bool,
        typer.Option(
            "--training", help="Show a pass of training, with dropout's masks, and one step."
        ),
    ] = False
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            parser=parse_path,
            help="The .html, .md or .txt file to write; by default text is printed.",
        ),
    ] = None
    overwrite: OverwriteOption = False


@dataclass(frozen=True)
class PredictionFileOptions:
    """Output."""

    output: Annotated[
        Path, typer.Option("--output", "-o", parser=parse_path, help="The CSV file to write, or -.")
    ]
    keep: Annotated[bool, typer.Option("--keep", help="Write the table's columns too.")] = False
    escape_formulas: Annotated[
        bool,
        typer.Option(
            "--escape-formulas",
            help="Put ' before texts that a spreadsheet would run (they begin with = + - @).",
        ),
    ] = False
    overwrite: OverwriteOption = False


@dataclass(frozen=True)
class OutputOptions:
    """Output."""

    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")] = False
    json: Annotated[bool, typer.Option("--json", help="Print the results as one JSON object.")] = (
        False
    )

    def reporter(self, command: str, file: Path | None = None) -> TextReporter | JsonReporter:
        """Return what prints the results; if `file` is standard output, on standard error."""
        if self.json:
            from deltarule.cli.json_output import JsonReporter

            return JsonReporter(command)
        from deltarule.cli.text_output import TextReporter

        return TextReporter(quiet=self.quiet, stderr=is_stream(file))


def check_streams(table: Path | None, output: Path | None, *, json: bool) -> None:
    """Refuse combinations of ``-`` and --json that one standard stream cannot carry."""
    if is_stream(output) and json:
        raise typer.BadParameter(
            "the standard output carries the file or the JSON object, not both; name a file",
            param_hint="--output",
        )
    if is_stream(table) and output is None:
        raise typer.BadParameter(
            "a table from the standard input has no name; name the model file",
            param_hint="--output",
        )
