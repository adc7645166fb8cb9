"""Run a command so that what goes wrong is said on one line."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import typer

from deltarule.cli.memory import check_limits, lacks_memory, what_to_do
from deltarule.cli.signals import INTERRUPTED, CutOff, Interrupted, watched
from deltarule.errors import DeltaruleError

__all__ = ["run", "say_error"]

# Typer re-exports one of its usage errors; the base class tells every misuse of an option.
_UsageError: type[Exception] = typer.BadParameter.__mro__[1]


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Parameters
    ----------
    arguments : sequence of str, optional
        The words after ``deltarule``; by default those that the process was given.

    Returns
    -------
    int
        0 for success, 1 if a gradient is wrong, 2 for an error that the user can mend, 130 after
        Ctrl-C, 143 after SIGTERM. With ``--debug`` errors leave as exceptions instead.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    try:
        check_limits()
        from deltarule.cli.app import app

        with watched() as signals:
            code = typer.main.get_command(app).main(
                [word for word in words if word != "--debug"] or ["--help"],
                prog_name="deltarule",
                standalone_mode=False,
            )
            sys.stdout.flush()
        if code == INTERRUPTED:  # Typer's word for a KeyboardInterrupt
            raise KeyboardInterrupt
        if signals.interrupted:  # training took it, and gave the best network so far
            say_error("interrupted; what was printed above is what there is")
            return INTERRUPTED
        return code if isinstance(code, int) else 0
    except (KeyboardInterrupt, typer.Abort):
        say_error(str(Interrupted()))
        return INTERRUPTED
    except CutOff as how:
        say_error(str(how))
        return how.code
    except BrokenPipeError:  # The reader of our output has gone, as in `deltarule … | head`.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if debug:
            raise
        say_error(_sentence(error))
        return 2


def say_error(message: str) -> None:
    """Print one line on the standard error stream."""
    print("error:", " ".join(message.split()), file=sys.stderr)


def _sentence(error: Exception) -> str:
    if isinstance(error, _UsageError):
        message = str(getattr(error, "format_message", error.__str__)())
        return f"{message.replace('Value error, ', '').rstrip('. ')}; see deltarule --help"
    if lacks_memory(error):
        return what_to_do(error)
    if isinstance(error, DeltaruleError | ValueError):
        return str(error)
    return (
        f"{type(error).__name__}: {error}. This is a fault in deltarule; "
        "run again with --debug and report what it prints"
    )
