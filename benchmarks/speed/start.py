"""Time of the first fit in a new process: ``python -m speed.start [epochs]`` prints seconds.

It fits the digits with default arguments (except ``epochs``, if given). The time includes ``import
deltarule``, but not loading the data and importing NumPy, SciPy and ``sklearn.neural_network``.
"""

from __future__ import annotations

import sys
import time
import warnings

import numpy  # noqa: F401
import scipy  # noqa: F401
import sklearn.neural_network  # noqa: F401
from sklearn.datasets import load_digits


def main() -> None:
    """Print the seconds that the fit took."""
    arguments = {"max_iter": int(sys.argv[1])} if len(sys.argv) > 1 else {}
    X, y = load_digits(return_X_y=True)
    warnings.simplefilter("ignore")
    start = time.perf_counter()
    import deltarule

    deltarule.MLPClassifier(engine="compiled", **arguments).fit(X, y)
    print(time.perf_counter() - start)


if __name__ == "__main__":
    main()
