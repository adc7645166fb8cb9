"""P5: Simard's network; every epoch distorts each image elastically."""

from deltarule import L2, SGD, Cosine, Dense, Network, train
from deltarule.augmentation import Compose, Elastic
from reproduce.anchor import Anchor, Goal, Outcome, Plan, Task


def fit(task: Task) -> Outcome:
    X, y, X_test, y_test, _ = task.images
    net = Network(
        784,
        [Dense(800, "relu"), Dense(10, "softmax")],
        loss="categorical_cross_entropy",
        penalties=[L2(1e-5)],
        dtype="float32",
    )
    elastic = Compose(
        [Elastic(alpha=34, sigma=4)], shape=(28, 28), seed=task.seed, n_threads=task.n_threads
    )
    history = train(
        net, net.initialize(task.seed), X, y, optimizer=SGD(0.1, momentum=0.9), schedule=Cosine(),
        augment=elastic, batch_size=100, epochs=task.epochs, seed=task.seed,
        validation=(X_test, y_test), n_threads=task.n_threads,
        checkpoint=task.checkpoint,
    )  # fmt: skip
    return Outcome.of(history)


ANCHOR = Anchor(
    name="P5",
    title="Simard, Steinkraus & Platt: elastic distortions",
    source="Simard, Steinkraus & Platt, ICDAR 2003, the table of results",
    published={"elastic": 0.7},
    fit=fit,
    plans={"smoke": Plan(2, rows=2_000), "full": Plan(120)},
    goals=[Goal.error_at_most("elastic", 0.85)],
    differences=(
        "As in the paper, σ is 4 and α is 34 pixels; our images have 28 × 28 pixels, the paper's "
        "29 × 29. The displacement fields are drawn again in every epoch. Network and training "
        "are those of P3, with more epochs. One seed."
    ),
)
