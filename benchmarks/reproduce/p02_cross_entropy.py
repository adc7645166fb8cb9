"""P2: Nielsen's [784, 100, 10] with the cross-entropy and weight decay."""

from deltarule import L2, SGD, Dense, Network, train
from reproduce.anchor import Anchor, Goal, Outcome, Plan, Task


def fit(task: Task) -> Outcome:
    X, y, X_test, y_test, _ = task.images
    X, y = X[:50_000], y[:50_000]
    net = Network(
        784,
        [Dense(100, "sigmoid", "lecun_normal"), Dense(10, "sigmoid", "lecun_normal")],
        loss="binary_cross_entropy",
        penalties=[L2(5.0 / len(X))],  # λ / n
        dtype="float32",
    )
    history = train(
        net, net.initialize(task.seed), X, y, optimizer=SGD(0.1), batch_size=10,
        epochs=task.epochs, seed=task.seed, validation=(X_test, y_test), n_threads=task.n_threads,
    )  # fmt: skip
    return Outcome.of(history)


ANCHOR = Anchor(
    name="P2",
    title="Nielsen: cross-entropy, weight decay",
    source="M. Nielsen, Neural Networks and Deep Learning, 2015, chapter 3",
    published={"cross-entropy": 1.96},
    fit=fit,
    plans={"smoke": Plan(2, rows=5_000), "full": Plan(60, seeds=(0, 1, 2))},
    goals=[Goal.error_at_most("cross-entropy", 2.15)],
    differences=(
        "Nielsen prints an accuracy on validation images; ours is on the test set, after the last "
        "epoch. Our weights start as N(0, 1/n), n the number of inputs of a unit, which his "
        "chapter introduces later; his run started with N(0, 1). Our biases start at 0."
    ),
)
