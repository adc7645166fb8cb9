"""Words that error messages about tables share: quoted names and lists."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from deltarule.errors import TableError

__all__ = ["in_shell", "listing", "show", "unusable_columns"]


def show(value: object, limit: int = 40) -> str:
    """Return a cell or a name in quotes, cut so that it fits on a line."""
    text = str(value)
    return repr(text if len(text) <= limit else text[: limit - 1] + "…")


def listing(names: Iterable[object], limit: int = 8) -> str:
    """Return the first few of many names in quotes, and how many more there are."""
    shown = [show(name) for name in names]
    more = f" and {len(shown) - limit} more" if len(shown) > limit else ""
    return ", ".join(shown[:limit]) + more


def unusable_columns(path: Path, reasons: dict[str, str]) -> TableError:
    """Return the error for all columns that cannot be used, with the reason for each."""
    each = "; ".join(f"{show(name)} {why}" for name, why in list(reasons.items())[:8])
    more = f"; and {len(reasons) - 8} more" if len(reasons) > 8 else ""
    options = " ".join(f"--ignore {in_shell(name)}" for name in reasons)
    what = f"column{'s' * (len(reasons) > 1)} {listing(reasons)}"
    return TableError(
        f"{path}: {what} cannot be used: {each}{more}. "
        f"Convert to numbers or categories, or leave out: {options}"
    )


def in_shell(name: str) -> str:
    """Return a name as it can be typed in a shell."""
    plain = name.replace("_", "").replace("-", "").replace(".", "").isalnum()
    return name if plain and not name.startswith("-") else show(name, limit=200)
