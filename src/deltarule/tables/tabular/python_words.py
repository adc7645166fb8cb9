"""Messages for Python: options of the command line as the arguments of the estimators"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from contextlib import AbstractContextManager

from deltarule.errors import TableError
from deltarule.utils.context import error_context

__all__ = ["in_python", "speaking_python"]

_LISTS = {
    "missing": "missing",
    "category": "categories",
    "number": "numbers",
    "date": "dates",
    "ignore": "ignore",
}
"""Options that may be repeated, and the arguments that take lists."""
_TOKEN = (
    r"(?:\$'(?:[^'\\]|\\.)*'"  # a text with escapes
    r"|(?:'[^']*'(?:\"'\"'[^']*')*)"  # a quoted text, as shlex.quote writes it
    r"|[\w@%+=:,./-]*[\w@%+=:/-])"  # a word; a mark at its end belongs to the sentence
)
_REPEATED = re.compile(rf"--({'|'.join(_LISTS)}) {_TOKEN}(?: --\1 {_TOKEN})*")
_ONE = re.compile(rf"--(?:{'|'.join(_LISTS)}) ({_TOKEN})")
_MARK = re.compile(r"--(decimal|thousands) (?:'([^']+)'|([.,]))")
_UNREADABLE = re.compile(r"'struct<([^<>:]*): null>'")
"""The type of what Arrow has no type for (`deltarule.tables.sources.held`)."""
_WRITTEN = re.compile(r", or say how this table is written: --.*")
"""An option of a prediction, whose tables in Python hold numbers and dates."""
_GIVEN: tuple[tuple[str, str], ...] = (
    ("(given with --target)", "(the target)"),
    *((f"given with --{option}", f"given in {argument}") for option, argument in _LISTS.items()),
    *((f"with --{option}", f"in {argument}") for option, argument in _LISTS.items()),
)
_WORDS: tuple[tuple[str, str], ...] = (
    ("--day-first", "day_first=True"),
    ("--month-first", "day_first=False"),
    ("--no-dates", "no_dates=True"),
    ("--ensemble 1 (ensemble=1)", "ensemble=1"),
    ("--ensemble 8", "ensemble=8"),
    ("--ensemble 1", "ensemble=1"),
    ("--ensemble", "ensemble"),
    ("--checkpoint", "checkpoint"),
    ("--member", "member"),
    ("--seed", "random_state"),
    ("--split time:", "time="),
    ("--split", "time"),
    ("(--dev, --test)", "(validation_fraction)"),
    ("--target-transform", "target_transform"),
    ("--target", "y"),
    ("--dev", "validation_fraction"),
    ("--test", "validation_fraction"),
    ("use --task regression", "use TabularRegressor"),
    ("leave --task out", "use TabularClassifier"),
    ("--hidden", "hidden_layer_sizes"),
    ("--learning-rate", "learning_rate_init"),
    ("--monitor", "monitor"),
    ("--patience", "n_iter_no_change"),
    ("--time", "max_seconds"),
    ("--epochs", "max_iter"),
    ("--decimal", "decimal"),
    ("--thousands", "thousands"),
    *((f"--{option}", argument) for option, argument in _LISTS.items()),
)


def in_python(message: str) -> str:
    """Return a message about a table as Python's users read it.

    Options become the arguments of `TabularClassifier` and `TabularRegressor`, as they are typed.

    Examples
    --------
    >>> in_python("say that they are missing: --missing '?' --missing none; or --day-first")
    "say that they are missing: missing=['?', 'none']; or day_first=True"
    """
    message = _UNREADABLE.sub(r"\1", message)
    message = _WRITTEN.sub(", or convert the column", message)
    for option, argument in _GIVEN:
        message = message.replace(option, argument)
    message = _REPEATED.sub(_as_list, message)
    message = _MARK.sub(lambda m: f"{m[1]}={m[2] or m[3]!r}", message)
    for option, argument in _WORDS:
        message = message.replace(option, argument)
    return message


def speaking_python() -> AbstractContextManager[None]:
    """Return a context in which errors about tables are in Python's words."""
    translate: Callable[[TableError], TableError] = lambda error: TableError(in_python(str(error)))  # noqa: E731
    return error_context((TableError, translate))


def _as_list(found: re.Match[str]) -> str:
    """Return a list with the values of a repeated option."""
    values = [_value(token) for token in _ONE.findall(found[0])]
    if values == ["COL"]:
        return f"{_LISTS[found[1]]}=[its name]"
    return f"{_LISTS[found[1]]}={values!r}"


def _value(token: str) -> str:
    """Return what a word of a shell stands for."""
    if token.startswith("$'"):
        return token[2:-1].replace("\\'", "'").encode().decode("unicode_escape")
    return shlex.split(token)[0] if token != "''" else ""
