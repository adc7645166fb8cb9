"""Dask clusters on this machine, data in parts and digests of models, for tests on clusters."""

from __future__ import annotations

import gc
import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Any

from deltarule.storage import encode

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["connected", "cut", "model_sha", "sha"]


@contextmanager
def connected(n_workers: int, *, processes: bool = False, threads: int = 1) -> Iterator[Client]:
    """Return a client of a new cluster: workers in this process, which talk over TCP, or not in it.

    Worker processes have nannies, which start them again when they die.
    """
    from distributed import Client, LocalCluster

    with (
        LocalCluster(
            n_workers=n_workers, threads_per_worker=threads, processes=processes,
            dashboard_address=":0", protocol="tcp", host="127.0.0.1",
        ) as cluster,
        Client(cluster) as client,
    ):  # fmt: skip
        yield client
    # A task that nobody has awaited is logged when it is collected. Its traceback parses source,
    # which breaks another ``ast.parse`` that it interrupts (Python 3.11): so it is collected now.
    gc.collect()


def cut(array: Any, lengths: Sequence[int]) -> list[Any]:
    """Return an array in parts of these lengths."""
    return [array[low:high] for low, high in pairwise(accumulate(lengths, initial=0))]


def sha(model: Any) -> str:
    """Return the digest of an estimator's parameters."""
    return hashlib.sha256(model.state_.theta.tobytes()).hexdigest()


def model_sha(model: Any) -> str:
    """Return the digest of the file that a model would be saved to."""
    return hashlib.sha256(encode(model.to_model_record())).hexdigest()
