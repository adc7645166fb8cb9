"""Environment variables of other libraries: refused by name where they would fail inside them."""

from __future__ import annotations

import os

from deltarule.errors import SpecError

__all__ = ["check_environment"]

_INTEGERS = ("SKLEARN_WORKING_MEMORY", "TERMINAL_WIDTH")
_COMPLETION = "_DELTARULE_COMPLETE"
_SHELLS = ("bash", "zsh", "fish", "powershell", "pwsh")


def check_environment() -> None:
    """Raise ``SpecError`` for a variable that scikit-learn, Typer or completion cannot use."""
    for name in _INTEGERS:
        if os.environ.get(name):
            _check_integer(name)
    given = os.environ.get(_COMPLETION)
    if not given:
        return
    action, _, shell = given.partition("_")
    if action not in ("complete", "source") or shell not in _SHELLS:
        raise _unusable(_COMPLETION, given, "what the script of --show-completion sets")
    if given == "complete_bash":
        if "COMP_WORDS" not in os.environ:
            raise _unusable("COMP_WORDS", None, f"set by bash where {_COMPLETION}={given} is")
        _check_integer("COMP_CWORD")


def _check_integer(name: str) -> None:
    given = os.environ.get(name)
    try:
        int(given or "")
    except ValueError:
        raise _unusable(name, given, "a whole number") from None


def _unusable(name: str, given: str | None, expected: str) -> SpecError:
    got = "it is missing" if given is None else f"got {given!r}"
    unset = _COMPLETION if name.startswith("COMP_") else name
    return SpecError(
        f"the environment variable {name} must be {expected}; {got}. Correct it, or unset {unset}"
    )
