"""P9: a network 256-128-64 on Fashion-MNIST."""

from deltarule import Adam, Cosine, Dense, Dropout, Network, train
from reproduce.anchor import Anchor, Goal, Outcome, Plan, Task


def fit(task: Task) -> Outcome:
    X, y, X_test, y_test, _ = task.images
    net = Network(
        784,
        [Dense(256, "relu"), Dropout(0.2), Dense(128, "relu"), Dropout(0.2), Dense(64, "relu"),
         Dense(10, "softmax")],
        loss="categorical_cross_entropy",
        dtype="float32",
    )  # fmt: skip
    history = train(
        net, net.initialize(task.seed), X, y, optimizer=Adam(0.001), schedule=Cosine(),
        batch_size=100, epochs=task.epochs, seed=task.seed, validation=(X_test, y_test),
        n_threads=task.n_threads,
    )  # fmt: skip
    return Outcome.of(history)


ANCHOR = Anchor(
    name="P9",
    title="Fashion-MNIST: MLP 256-128-64",
    source=(
        "the README of the Fashion-MNIST repository at commit 02cf067, the table of submitted "
        "benchmarks"
    ),
    published={"256-128-64": 10.0},
    fit=fit,
    plans={"smoke": Plan(3, rows=5_000), "full": Plan(40, seeds=(0, 1, 2))},
    goals=[Goal.error_at_most("256-128-64", 10.00)],
    data="fashion-mnist",
    differences=(
        "The README gives only the widths; we chose optimiser, dropout and epochs. Later versions "
        "of the README, such as the one in the Debian package, no longer list this network."
    ),
)
