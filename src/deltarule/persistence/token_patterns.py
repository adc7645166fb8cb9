"""Regular expressions of a file: whether they surely end soon on any text."""

from __future__ import annotations

import re
from typing import Any

__all__ = ["is_harmless"]

_ATOM = r"(?:\\[wdS]|[\w '’#@&-]|\[(?:\\[wdS]|[\w'’#@&-])+\])"
_HARMLESS = re.compile(
    r"(?:\(\?u\))?\^?(?:\\b)?(?:ATOM(?:\{\d{1,2}\})?)*(?:ATOM(?:[+*]|\{\d{1,2},\d{0,2}\}))?"
    r"(?:\\b)?\$?".replace("ATOM", _ATOM)
)


def is_harmless(pattern: Any) -> bool:
    """Whether a pattern is a row of characters or classes of them, and only the last repeats.

    Without groups, alternatives, ``.`` and classes with white space, such a pattern backtracks at
    most over one word. scikit-learn's own patterns are of this form.
    """
    return isinstance(pattern, str) and _HARMLESS.fullmatch(pattern) is not None
