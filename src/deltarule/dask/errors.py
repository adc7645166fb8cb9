"""Errors of fits on a cluster, with the partition that they came from."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from deltarule.errors import DataError

__all__ = ["part_error"]


@contextmanager
def part_error(place: int) -> Iterator[None]:
    """Within this context an error about data names the partition that it came from."""
    try:
        yield
    except (ValueError, TypeError) as error:
        raise DataError(f"partition {place} of X: {error}") from error
