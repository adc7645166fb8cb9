"""Words that error messages about tables share: quoted names and lists."""

from __future__ import annotations

import shlex
from collections.abc import Iterable

__all__ = ["in_shell", "is_unicode", "listing", "show"]


def show(value: object, limit: int = 40) -> str:
    """Return a cell or a name in quotes, cut so that it fits on a line."""
    text = str(value)
    return repr(text if len(text) <= limit else text[: limit - 1] + "…")


def listing(names: Iterable[object], limit: int = 8) -> str:
    """Return the first few of many names in quotes, and how many more there are."""
    shown = [show(name) for name in names]
    more = f" and {len(shown) - limit} more" if len(shown) > limit else ""
    return ", ".join(shown[:limit]) + more


def in_shell(text: str) -> str:
    """Return a name or a mark as it can be typed in a shell, on one line."""
    if text.isprintable():
        return shlex.quote(text)
    escaped = text.encode("unicode_escape").decode().replace("'", "\\'")
    return f"$'{escaped}'"


def is_unicode(text: str) -> bool:
    """Whether a text has no half of a surrogate pair, which no file can hold."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
