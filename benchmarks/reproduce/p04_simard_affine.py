"""P4: Simard's network; every epoch distorts each image by a new affine map."""

from deltarule import L2, SGD, Cosine, Dense, Network, train
from deltarule.augmentation import Compose, Rotation, Scaling, Shear, Translation
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
    affine = Compose(
        [Rotation(10), Translation(2, 2), Scaling((0.9, 1.1)), Shear(10)],
        shape=(28, 28), seed=task.seed, n_threads=task.n_threads,
    )  # fmt: skip
    history = train(
        net, net.initialize(task.seed), X, y, optimizer=SGD(0.1, momentum=0.9), schedule=Cosine(),
        augment=affine, batch_size=100, epochs=task.epochs, seed=task.seed,
        validation=(X_test, y_test), n_threads=task.n_threads,
        checkpoint=task.checkpoint,
    )  # fmt: skip
    return Outcome.of(history)


ANCHOR = Anchor(
    name="P4",
    title="Simard, Steinkraus & Platt: affine distortions",
    source="Simard, Steinkraus & Platt, ICDAR 2003, the table of results",
    published={"affine": 1.1},
    fit=fit,
    plans={"smoke": Plan(2, rows=2_000), "full": Plan(60)},
    goals=[Goal.error_at_most("affine", 1.25)],
    differences=(
        "We chose the ranges of the affine maps with the last 10 000 training images held out: "
        "±10°, ±2 pixels, ±10 % of the size and a shear of ±10°. Network and training are those "
        "of P3, with more epochs. One seed."
    ),
)
