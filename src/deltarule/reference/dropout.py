"""Dropout: masks from a counter-based generator, and the map that applies them (item R3).

A mask depends only on (seed, step, dropout layer, row in the whole batch, unit), so it does not
change when a batch is divided into parts. The generator is Philox4x32-10 (Salmon et al. 2011,
"Parallel random numbers: as easy as 1, 2, 3"), a bijection of a 128-bit counter under a 64-bit key.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from deltarule.reference.maps import Map
from deltarule.utils.arrays import Array, Pullback, array_namespace, is_sparse

__all__ = ["MAPS", "dropout", "mask", "philox"]

_MULTIPLIERS = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_WEYL = 0x9E3779B9, 0xBB67AE85  # increments of the key in each round: golden ratio, √3 − 1
_LOW = np.uint64(0xFFFFFFFF)
_SHIFT = np.uint64(32)
_ROUNDS = 10


def philox(
    counter: tuple[npt.ArrayLike, npt.ArrayLike, npt.ArrayLike, npt.ArrayLike], seed: int
) -> npt.NDArray[np.uint32]:
    """Return Philox4x32-10 of the counters under the 64-bit key ``seed``, (…, 4) 32-bit words.

    Each round maps (c0, c1, c2, c3) to (hi(M1 c2) ⊕ c1 ⊕ k0, lo(M1 c2), hi(M0 c0) ⊕ c3 ⊕ k1,
    lo(M0 c0)), and adds two constants to the key (k0, k1).
    """
    words = np.broadcast_arrays(*(np.asarray(word, dtype=np.uint64) & _LOW for word in counter))
    c0, c1, c2, c3 = words
    k0, k1 = seed & 0xFFFFFFFF, (seed >> 32) & 0xFFFFFFFF
    for _ in range(_ROUNDS):
        first, second = _MULTIPLIERS[0] * c0, _MULTIPLIERS[1] * c2
        c0, c1, c2, c3 = (
            (second >> _SHIFT) ^ c1 ^ np.uint64(k0),
            second & _LOW,
            (first >> _SHIFT) ^ c3 ^ np.uint64(k1),
            first & _LOW,
        )
        k0, k1 = (k0 + _WEYL[0]) & 0xFFFFFFFF, (k1 + _WEYL[1]) & 0xFFFFFFFF
    return np.stack([c0, c1, c2, c3], axis=-1).astype(np.uint32)


def mask(
    keep: float, n_rows: int, n_units: int, *, seed: int, step: int, number: int, first: int = 0
) -> npt.NDArray[np.bool_]:
    """Return the mask (n_rows, n_units) of the units that are kept, with probability ``keep``.

    The counter is (unit // 4, row, step, dropout layer), with rows counted from ``first``; one call
    of the generator gives four units. A unit with the word w is kept if w/2³² < keep (erratum E-p).
    """
    units = np.arange((n_units + 3) // 4)[None, :]
    rows = (first + np.arange(n_rows))[:, None]
    seed, step = int(seed), int(step)  # NumPy's small integers would overflow
    words = philox((units, rows, step, number), seed).reshape(n_rows, 4 * units.size)
    kept: npt.NDArray[np.bool_] = words[:, :n_units] < keep * 2.0**32
    return kept


def dropout(x: Array, kept: Array, keep: float) -> tuple[Array, Pullback]:
    """Return x ⊙ mask / p and its reverse derivative, which is the same map (inverted dropout).

    E[h̃] = h and Var(h̃) = h²(1 − p)/p; prediction drops nothing (Matt R §5.2; Ayrapetyan §4.2;
    erratum E-r). For a SciPy CSR matrix x the result is one, too.
    """
    if is_sparse(x):
        return x.multiply(kept / keep).tocsr().astype(x.dtype), lambda dz: None
    xp = array_namespace(x)
    factor = xp.astype(kept, x.dtype) / keep

    def pullback(dz: Array) -> Array:
        return factor * dz

    return factor * x, pullback


def _sample(x: Array) -> tuple[Array, Pullback]:
    xp = array_namespace(x)
    kept = mask(0.5, x.shape[0], x.shape[1], seed=1, step=0, number=0)
    return dropout(x, xp.asarray(kept), 0.5)


MAPS = (Map("dropout", _sample, lambda x, dx: _sample(dx)[0], ("n q",)),)
