"""P6: dropout and max-norm on three layers of 1024 ReLU units."""

from deltarule import SGD, Cosine, Dense, Dropout, MaxNorm, Network, train
from reproduce.anchor import Anchor, Goal, Outcome, Plan, Task


def fit(task: Task) -> Outcome:
    X, y, X_test, y_test, _ = task.images
    hidden = Dense(1024, "relu")
    net = Network(
        784,
        [Dropout(0.2), hidden, Dropout(0.5), hidden, Dropout(0.5), hidden, Dropout(0.5),
         Dense(10, "softmax")],
        loss="categorical_cross_entropy",
        constraints=[MaxNorm(2.0)],
        dtype="float32",
    )  # fmt: skip
    history = train(
        net, net.initialize(task.seed), X, y, optimizer=SGD(0.03, momentum=0.95),
        schedule=Cosine(warm_up=1), batch_size=100, epochs=task.epochs, seed=task.seed,
        validation=(X_test, y_test), n_threads=task.n_threads,
        checkpoint=task.checkpoint,
    )  # fmt: skip
    return Outcome.of(history)


ANCHOR = Anchor(
    name="P6",
    title="Srivastava et al.: dropout and max-norm",
    source="Srivastava, Hinton, Krizhevsky, Sutskever & Salakhutdinov, JMLR 15, 2014, table 2",
    published={"3×1024": 1.06},
    fit=fit,
    plans={
        "smoke": Plan(1, rows=2_000),
        "full": Plan(167),  # 600 updates per epoch: 100 200
        "long": Plan(1_667),
    },
    goals=[Goal.error_at_most("3×1024", 1.40)],
    long_goals=[Goal.error_at_most("3×1024", 1.20)],
    differences=(
        "A tenth of the paper's 1 000 000 updates (the long form runs all of them). The momentum "
        "is 0.95 from the start; in the paper it grows to that value. The learning rate is ours: "
        "half a cosine from 0.03 after an epoch of warm-up. We scale the kept activations by "
        "1/keep in training; the paper scales the weights at test time instead, so that its bound "
        "of 2 on the norms would be 1 here, or 1.6 at the inputs: our bound is looser. One seed."
    ),
)
