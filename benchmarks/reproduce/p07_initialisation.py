"""P7: five layers of 1000 units: sigmoid, tanh, and tanh with Glorot's initialisation."""

import numpy as np

from deltarule import SGD, Cosine, Dense, Network, train
from reproduce.anchor import Anchor, Goal, Outcome, Plan, Task


def standard(rng: np.random.Generator, fan_in: int, fan_out: int) -> np.ndarray:
    """Return weights of the paper's "standard" initialisation, equation 1: U(±1/√n), n = fan_in."""
    return rng.uniform(-1, 1, (fan_in, fan_out)) / np.sqrt(fan_in)


VARIANTS = {
    "sigmoid": ("sigmoid", standard),
    "tanh": ("tanh", standard),
    "tanh, normalised": ("tanh", "glorot_uniform"),  # equation 16
}


def fit(task: Task) -> Outcome:
    X, y, X_test, y_test, _ = task.images
    activation, initializer = VARIANTS[task.variant]
    net = Network(
        784,
        [*[Dense(1000, activation, initializer)] * 5, Dense(10, "softmax", initializer)],
        loss="categorical_cross_entropy",
        dtype="float32",
    )
    history = train(
        net, net.initialize(task.seed), X[:50_000], y[:50_000], optimizer=SGD(0.02),
        schedule=Cosine(), batch_size=10, epochs=task.epochs, seed=task.seed,
        validation=(X_test, y_test), n_threads=task.n_threads,
        checkpoint=task.checkpoint,
    )  # fmt: skip
    return Outcome.of(history)


ANCHOR = Anchor(
    name="P7",
    title="Glorot & Bengio: initialisation of deep networks",
    source="Glorot & Bengio, AISTATS 2010, table 1",
    published={
        "sigmoid": 2.21,
        "tanh": 1.76,
        "tanh, normalised": 1.64,
    },
    fit=fit,
    plans={"smoke": Plan(1, rows=300), "full": Plan(15), "long": Plan(100)},
    goals=[Goal.in_order("tanh", "sigmoid"), Goal.in_order("tanh, normalised", "tanh")],
    long_goals=[Goal.error_at_most("tanh, normalised", 1.80)],
    differences=(
        "One seed and 15 epochs: the goals compare the order only, and the sigmoid network may "
        "still be on its plateau. All three use the same learning rate, which falls along half a "
        "cosine."
    ),
)
