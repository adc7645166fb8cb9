"""A demonstration of the command line: ``python -m deltarule.demo``.

It trains a network on the penguins table that comes with deltarule, tests and saves it, loads it
again and predicts with it. Each step is a command that you can type yourself; it is printed before
it runs.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from deltarule.cli.run import run, say_error
from deltarule.datasets import penguins_path
from deltarule.utils.context import system_reason

__all__ = ["main"]

SHOWN = 12
"""The number of rows that are predicted and printed: every 30th penguin."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demonstration; return the exit code of the first command that fails, or 0.

    Parameters
    ----------
    arguments : sequence of str, optional
        The arguments after ``python -m deltarule.demo``; by default those of the process.
    """
    parser = argparse.ArgumentParser(prog="python -m deltarule.demo", description=__doc__)
    parser.add_argument(
        "--output", type=Path, default=Path("demo-output"), metavar="DIR",
        help="folder for the model, the predictions and the plots (default: demo-output)",
    )  # fmt: skip
    folder = parser.parse_args(arguments).output
    few = folder / "some-penguins.csv"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lines = penguins_path().read_text(encoding="utf-8").splitlines()
        few.write_text("\n".join([lines[0], *lines[1::30]][: SHOWN + 1]) + "\n", encoding="utf-8")
    except OSError as error:
        say_error(f"cannot write to {folder}: {system_reason(error)}; choose another --output")
        return 2
    model, predictions = folder / "penguins.safetensors", folder / "predictions.csv"
    return (
        _show("Train networks that classify three species of penguins.")
        or _type(
            "train", penguins_path(), "--target", "species", "--test", 0.2, "--ignore", "year",
            "-o", model, "--plots", folder, "--overwrite",
        )
        or _show("Load the saved model and check its gradient.")
        or _type("check", model, penguins_path())
        or _show("It predicts some rows.")
        or _type("predict", model, few, "-o", predictions, "--keep", "--overwrite")
        or _show(_picked(predictions))
        or _show(f"All files are in {folder}.")
    )  # fmt: skip


def _show(text: str) -> int:
    print(f"\n{text}", flush=True)
    return 0


def _type(*words: object) -> int:
    """Print a command as a user would type it, then run it."""
    texts = [str(word) for word in words]
    print(f"\n$ deltarule {shlex.join(texts)}\n", flush=True)
    return run(texts)


def _picked(predictions: Path) -> str:
    """Return the most important columns of the predictions, as a table."""
    from deltarule.tables import read_table

    columns = read_table(predictions).columns
    names = ["species", "island", "bill_length_mm", "body_mass_g", "prediction"]
    rows = zip(*(columns[name].to_pylist() for name in names), strict=True)
    lines = ["".join(f"{cell:<16}" for cell in row).rstrip() for row in [names, *rows]]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
