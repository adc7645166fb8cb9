"""P3: Simard's network of 800 hidden units, trained on MNIST as it is."""

from deltarule import L2, SGD, Cosine, Dense, Network, train
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
    history = train(
        net, net.initialize(task.seed), X, y, optimizer=SGD(0.1, momentum=0.9), schedule=Cosine(),
        batch_size=100, epochs=task.epochs, seed=task.seed, validation=(X_test, y_test),
        n_threads=task.n_threads,
        checkpoint=task.checkpoint,
    )  # fmt: skip
    return Outcome.of(history)


ANCHOR = Anchor(
    name="P3",
    title="Simard, Steinkraus & Platt: no distortion",
    source="Simard, Steinkraus & Platt, ICDAR 2003, the table of results",
    published={"plain": 1.6},
    fit=fit,
    plans={"smoke": Plan(2, rows=2_000), "full": Plan(30, seeds=(0, 1, 2))},
    goals=[Goal.error_at_most("plain", 1.70)],
    differences=(
        "The network is the paper's; its training is of its time, and ours of today: rectifiers, "
        "batches of 100 with momentum 0.9, a rate that falls along half a cosine from 0.1, weight "
        "decay of 1e-5, He's start. The paper has no momentum, no weight decay, weights from "
        "N(0, 0.05²), a rate that falls in steps from 0.005. Rate, decay and epochs were tried "
        "with the last 10 000 training images held out; the training then takes all 60 000, the "
        "paper's the first 50 000."
    ),
)
