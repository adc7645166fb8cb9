"""P8: scikit-learn's MLP in the benchmark of Fashion-MNIST, one hidden layer of 100."""

import warnings

from deltarule import MLPClassifier
from reproduce.anchor import Anchor, Goal, Outcome, Plan, Task


def fit(task: Task) -> Outcome:
    X, y, X_test, y_test, _ = task.images
    model = MLPClassifier(
        (100,), activation="relu", standardize=True, max_iter=task.epochs, n_iter_no_change=2,
        random_state=task.seed, n_threads=task.n_threads,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that max_iter was reached
        model.fit(X, y)
    return Outcome(100 * (1 - model.score(X_test, y_test)), model.loss_curve_)


ANCHOR = Anchor(
    name="P8",
    title="Fashion-MNIST's benchmark: scikit-learn's MLP",
    source="Xiao, Rasul & Vollgraf, arXiv:1708.07747, 2017, table 3; settings from benchmark/ "
    "in the data set's repository",
    published={"relu (100)": "0.871"},
    fit=fit,
    plans={"smoke": Plan(3, rows=5_000), "full": Plan(200, seeds=(0, 1, 2))},
    goals=[Goal.accuracy_near("relu (100)", 0.871, 0.005)],
    data="fashion-mnist",
    differences=(
        "The benchmark ran scikit-learn of 2017, which stopped after two epochs in a row without "
        "progress of 1e-4: n_iter_no_change=2."
    ),
)
