"""The first fit of a fresh process: ``python -m speed.start [epochs]`` prints its seconds.

It is a fit of the digits with default arguments, but for ``epochs`` where it is given. The imports
of NumPy, SciPy and scikit-learn (its own perceptron's) and the loading of the data are not counted;
``import deltarule`` is.
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
    """Print the seconds."""
    arguments = {"max_iter": int(sys.argv[1])} if len(sys.argv) > 1 else {}
    X, y = load_digits(return_X_y=True)
    warnings.simplefilter("ignore")
    start = time.perf_counter()
    import deltarule

    deltarule.MLPClassifier(engine="compiled", **arguments).fit(X, y)
    print(time.perf_counter() - start)


if __name__ == "__main__":
    main()
