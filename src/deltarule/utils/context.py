"""One context manager that turns errors of the system or of a library into deltarule's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, TypeAlias

from deltarule.errors import DataError, DeltaruleError, MissingDependencyError

__all__ = ["ErrorRule", "error_context", "naming", "needing", "system_reason"]

Kinds: TypeAlias = type[BaseException] | tuple[type[BaseException], ...]

ErrorRule: TypeAlias = tuple[Kinds, Callable[[Any], Exception]]
"""Kinds of errors, and a function that returns the error to raise instead of one of them."""


@contextmanager
def error_context(*rules: ErrorRule, unless: Kinds = ()) -> Iterator[None]:
    """Replace errors raised inside the context by ones that name the file or value at fault.

    The first rule whose kind matches decides. Errors that no rule matches pass unchanged.

    Parameters
    ----------
    *rules : (kinds, function) pairs
        ``function(error)`` returns the error to raise; the original becomes its cause.
    unless : exception type or tuple of them, default=()
        Errors that pass unchanged even if a rule matches them.

    Examples
    --------
    >>> def named(error):
    ...     return ValueError(f"cannot read settings.txt: {system_reason(error)}")
    >>> with error_context((OSError, named)):
    ...     raise FileNotFoundError(2, "No such file or directory")
    Traceback (most recent call last):
    ValueError: cannot read settings.txt: No such file or directory
    """
    try:
        yield
    except unless:
        raise
    except Exception as error:
        for kinds, replacement in rules:
            if isinstance(error, kinds):
                raise replacement(error) from error
        raise


@contextmanager
def naming(name: str) -> Iterator[None]:
    """Put an argument's name before the message of an error about an array, if it lacks it."""
    try:
        yield
    except (TypeError, ValueError, OverflowError) as error:
        said = str(error)
        if name in said or name.replace("_", " ") in said.lower():  # "Sample weights must …"
            raise
        if isinstance(error, DeltaruleError):
            raise type(error)(f"{name}: {error}") from error
        raise DataError(
            f"{name} must be an array with a row for each example; got one that cannot be read "
            f"({error})."
        ) from error


def needing(extra: str, what: str) -> AbstractContextManager[None]:
    """Return a context for the import of an optional package, which may be missing.

    Parameters
    ----------
    extra : str
        The extra of deltarule that installs the package.
    what : str
        The start of the message, such as "plots need matplotlib".
    """

    def missing(_: ImportError) -> MissingDependencyError:
        return MissingDependencyError(
            f'{what}, which is not installed: pip install "deltarule[{extra}]"'
        )

    return error_context((ImportError, missing))


def system_reason(error: OSError) -> str:
    """Return the operating system's message for an error, or the name of its type."""
    return error.strerror or type(error).__name__
