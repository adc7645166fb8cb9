"""P10: the two networks of scikit-learn's benchmark on MNIST, two hidden layers of 100 units."""

import warnings

from deltarule import MLPClassifier
from reproduce.anchor import Anchor, Goal, Outcome, Plan, Task

SOLVERS = {
    "Adam": {"solver": "adam", "learning_rate_init": 0.001},
    "SGD": {"solver": "sgd", "learning_rate_init": 0.2, "momentum": 0.9},
}


def fit(task: Task) -> Outcome:
    X, y, X_test, y_test, _ = task.images
    model = MLPClassifier(
        (100, 100), alpha=1e-4, tol=1e-4, n_iter_no_change=2, max_iter=task.epochs,
        random_state=task.seed, n_threads=task.n_threads, **SOLVERS[task.variant],
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # ConvergenceWarning: max_iter was reached
        model.fit(X, y)
    return Outcome(100 * (1 - model.score(X_test, y_test)), model.loss_curve_)


ANCHOR = Anchor(
    name="P10",
    title="scikit-learn's benchmark on MNIST",
    source="scikit-learn, benchmarks/bench_mnist.py, the example of its output",
    published={"Adam": 2.24, "SGD": 2.87},
    fit=fit,
    plans={"smoke": Plan(3, rows=5_000), "full": Plan(400, seeds=(0, 1, 2))},
    goals=[Goal.error_at_most("Adam", 2.40)],
    differences=(
        "The printed numbers are of one seed and of a scikit-learn that stopped after two "
        "consecutive epochs with less than 1e-4 progress; we set n_iter_no_change=2."
    ),
)
