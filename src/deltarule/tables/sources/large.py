"""Whether a table fits into memory, or should stay in its files."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow.parquet as pq

from deltarule.limits import free_memory
from deltarule.tables.sources.csv import MAX_FILE_BYTES
from deltarule.tables.sources.open import first_bytes

__all__ = ["is_large", "needed_memory"]

CELL_BYTES = 64
"""Training in memory takes about so many bytes a cell at its peak (texts, numbers, copies), ..."""
TEXT_COPIES = 4
"""... and so many times the bytes of a CSV file."""
LOOK_BYTES = 2**16
"""The cells of a CSV file are estimated from its first bytes."""
SHARE = 0.5
"""A table may take this share of the memory that is free."""


def is_large(path: Path) -> bool:
    """Say whether training on a table in memory would take more than half of what is free.

    Folders, and files of more than 2 GiB, are always large. A path that cannot be read is not:
    reading it reports why.
    """
    if path.is_dir():
        return True
    try:
        if os.stat(path).st_size > MAX_FILE_BYTES:
            return True
        return needed_memory(path) > SHARE * free_memory()
    except Exception:  # damaged: reading it reports how
        return False


def needed_memory(path: Path) -> int:
    """Estimate how many bytes training on a table in memory takes."""
    if not first_bytes(path).startswith(b"PAR1"):
        size = os.stat(path).st_size
        with open(path, "rb") as file:
            head = file.read(LOOK_BYTES)
        ends = sum(head.count(end) for end in (b",", b";", b"\t", b"|", b"\n"))
        return TEXT_COPIES * size + CELL_BYTES * ends * size // max(len(head), 1)
    metadata = pq.read_metadata(path)
    groups = (metadata.row_group(number) for number in range(metadata.num_row_groups))
    encoded = sum(max(group.total_byte_size, 0) for group in groups)
    return encoded + CELL_BYTES * metadata.num_rows * metadata.num_columns
