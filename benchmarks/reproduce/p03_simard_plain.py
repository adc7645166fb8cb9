"""P3: Simard's network of 800 hidden units, trained on MNIST without distortions."""

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
        "The network is the paper's; the training is today's: ReLU, batches of 100, momentum 0.9, "
        "a learning rate that falls from 0.1 along half a cosine, weight decay of 1e-5, He's "
        "initialisation. The paper has no momentum, no weight decay, weights from N(0, 0.05²) and "
        "a learning rate that falls from 0.005 in steps. We chose learning rate, weight decay and "
        "epochs with the last 10 000 training images held out; the run then trains on all 60 000, "
        "the paper on the first 50 000."
    ),
)
