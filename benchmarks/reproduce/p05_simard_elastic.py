"""P5: Simard's network, each image distorted elastically, anew in every epoch."""

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
        "σ is 4 and α 34 as in the paper, in pixels, of images of 28 × 28 where the paper's are "
        "29 × 29; the fields are drawn afresh every epoch. The network and its training are those "
        "of P3, for more epochs. One seed."
    ),
)
