"""P11: three layers of 100 sigmoid units, with and without batch normalisation."""

from deltarule import SGD, BatchNorm, Dense, Network, Normal, train
from reproduce.anchor import Anchor, Goal, Outcome, Plan, Task


def fit(task: Task) -> Outcome:
    X, y, X_test, y_test, _ = task.images
    norm = BatchNorm() if task.variant == "batch norm" else None
    small = Normal(0.1)  # "small random Gaussian values"
    net = Network(
        784,
        [*[Dense(100, "sigmoid", small, norm)] * 3, Dense(10, "softmax", small)],
        loss="categorical_cross_entropy",
        dtype="float32",
    )
    history = train(
        net, net.initialize(task.seed), X, y, optimizer=SGD(0.1), batch_size=60,
        epochs=task.epochs, seed=task.seed, validation=(X_test, y_test), n_threads=task.n_threads,
    )  # fmt: skip
    return Outcome.of(history)


ANCHOR = Anchor(
    name="P11",
    title="Ioffe & Szegedy: batch normalisation",
    source="Ioffe & Szegedy, ICML 2015, figure 1a",
    published={"plain": "a curve: slower, lower", "batch norm": "a curve: faster, higher"},
    fit=fit,
    plans={"smoke": Plan(3, rows=6_000), "full": Plan(50, seeds=(0, 1, 2))},
    goals=[
        Goal.in_order("batch norm", "plain"),
        Goal.sooner_below("batch norm", "plain", 5.0),
        Goal.error_at_most("batch norm", 3.00),
    ],
    differences=(
        "50 epochs of 1 000 steps. The published result is a curve without a grid, so that the "
        "goals compare the order, at the end and during training. We chose the level required of "
        "batch norm (3 %), the learning rate and the standard deviation of the initial weights "
        "(both 0.1). The paper's images are binary; ours are greyscale."
    ),
)
