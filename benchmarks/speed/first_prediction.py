"""The first prediction of a process: ``python -m speed.first_prediction FILE`` prints JSON.

It loads a model and predicts one row of zeros. The answer holds seconds from before the imports on,
and the process's largest memory in MiB; with ``floor`` instead of a file only ``sklearn.base`` is
imported, which an estimator cannot do without.
"""

from __future__ import annotations

import sys
import time

start = time.perf_counter()


def main() -> None:
    """Predict, and print the answer."""
    if sys.argv[1] == "floor":
        import sklearn.base  # noqa: F401
    else:
        import numpy as np

        import deltarule

        if sys.argv[1].endswith("table"):
            from deltarule.tables import TableModel

            model = TableModel.load(sys.argv[1])
            model.respond(np.zeros((1, model.trained.network_.n_inputs)))
        else:
            estimator = deltarule.load(sys.argv[1])
            estimator.predict(np.zeros((1, estimator.n_features_in_)))
    seconds = time.perf_counter() - start
    import json
    import resource

    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": seconds, "MiB": memory}))


if __name__ == "__main__":
    main()
