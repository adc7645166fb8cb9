"""Run a command and report every error in one line."""

from __future__ import annotations

import errno
import sys
from collections.abc import Sequence
from contextlib import suppress

import typer

from deltarule.cli.environment import check_environment
from deltarule.cli.memory_errors import check_limits, lacks_memory, what_to_do
from deltarule.cli.signals import INTERRUPTED, CutOff, Interrupted, watched
from deltarule.cli.stdio import printing, silence, take_any_text
from deltarule.errors import DeltaruleError

__all__ = ["run", "say_error"]

# Typer exports only one of its usage errors; their base class covers every misuse of an option.
_UsageError: type[Exception] = typer.BadParameter.__mro__[1]
_FULL = (errno.ENOSPC, errno.EDQUOT)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Parameters
    ----------
    arguments : sequence of str, optional
        The words after ``deltarule``; by default those of the process.

    Returns
    -------
    int
        0 for success, 1 if a gradient is wrong, 2 for an error that the user can correct, 130 after
        Ctrl-C, 143 after SIGTERM. With ``--debug`` errors are raised as exceptions instead.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    take_any_text()
    try:
        check_limits()
        check_environment()
        with watched() as signals:
            code = _call([word for word in words if word != "--debug"] or ["--help"])
        if code == INTERRUPTED:  # what Typer returns after a KeyboardInterrupt
            raise KeyboardInterrupt
        if signals.interrupted:  # training caught it, and returned the best network so far
            say_error("interrupted; what was printed above is what there is", "note:")
            return INTERRUPTED
        return code
    except (KeyboardInterrupt, typer.Abort):
        say_error(str(Interrupted()))
        return INTERRUPTED
    except CutOff as how:
        say_error(str(how))
        return how.code
    except Exception as error:
        if debug:
            raise
        say_error(_sentence(error))
        return 2


def say_error(message: str, kind: str = "error:") -> None:
    """Print one line on the standard error stream, if that is possible."""
    with suppress(OSError):
        print(kind, " ".join(message.split()), file=sys.stderr, flush=True)


def _call(words: list[str]) -> int:
    """Run the command in these words; return its exit code."""
    from deltarule.cli.app import app

    command = typer.main.get_command(app)
    try:
        code = command.main(words, prog_name="deltarule", standalone_mode=False)
    except SystemExit as how:
        # Typer and its help exit like this when the reader of the output has closed it.
        if not isinstance(how.__context__, BrokenPipeError):
            raise
        silence(sys.stdout)
        code = 0
    if sys.stdout is not None:
        with printing(sys.stdout):
            sys.stdout.flush()
    return code if isinstance(code, int) else 0


def _sentence(error: Exception) -> str:
    if isinstance(error, _UsageError):
        message = str(getattr(error, "format_message", error.__str__)())
        return f"{message.replace('Value error, ', '').rstrip('. ')}; see deltarule --help"
    if lacks_memory(error):
        return what_to_do(error)
    if isinstance(error, DeltaruleError | ValueError):
        return str(error)
    if isinstance(error, OSError) and error.errno in _FULL:
        return f"the disk is full ({error}); make room there and run again"
    return (
        f"{type(error).__name__}: {error}. This is a bug in deltarule; "
        "run again with --debug and report what it prints"
    )
