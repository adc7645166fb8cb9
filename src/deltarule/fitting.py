"""Training a network: a user's arrays and choices, handed to the training loop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from deltarule.analysis.health import HEALTH_KINDS, HealthMonitor
from deltarule.arrays import Array, is_sparse, to_numpy
from deltarule.checks import check_positive_integer
from deltarule.clipping import ClipNorm, Clipping, ClipValue
from deltarule.errors import ShapeError, SpecError
from deltarule.inputs import check_state, make_block
from deltarule.interpreters import interpreter_of
from deltarule.network import Network, mean_loss, score_outputs
from deltarule.opcodes import PenaltyCode
from deltarule.optimizers import (
    LBFGS,
    SGD,
    LineSearch,
    Minimizer,
    Optimizer,
    Rprop,
    check_optimizer,
)
from deltarule.program import Block, Interpreter, State
from deltarule.schedules import Constant, Schedule
from deltarule.training import (
    Augmenter,
    History,
    Run,
    Stopping,
    augmented_blocks,
    descend,
    epoch_orders,
    minimize_cost,
    run_epochs,
)
from deltarule.training.checkpoints import as_checkpoint
from deltarule.training.divergence import divergence_error
from deltarule.training.loop import Figures

__all__ = ["train"]

_ROUNDING = 1e-15  # a relative fall of the cost that is no more than rounding


def train(
    net: Network,
    state: State,
    X: Array,
    y: Any,
    *,
    optimizer: Optimizer | Minimizer | None = None,
    batch_size: int = 32,
    epochs: int = 10,
    seed: int = 0,
    sample_weight: Any = None,
    class_weight: Any = None,
    validation: tuple[Any, ...] | None = None,
    stopping: Stopping | None = None,
    schedule: Schedule | None = None,
    clipping: Clipping | None = None,
    augment: Augmenter | None = None,
    shuffle: bool = True,
    record_health: bool = False,
    on_epoch: Callable[[History], bool] | None = None,
    engine: str = "auto",
    n_threads: int | None = None,
    checkpoint: Any = None,
) -> History:
    """Train a network; the state is moved in place.

    Parameters
    ----------
    net : Network
        What to train.
    state : State
        From ``net.initialize(seed)``, or from an earlier call. The optimiser begins anew.
    X : (n, d) array or CSR matrix
        Inputs.
    y : (n,) or (n, k) array
        Targets: class numbers, one-hot or soft rows, 0/1 labels, or numbers.
    optimizer : Optimizer, LBFGS or LineSearch, default=SGD(0.01)
        What takes a step a mini-batch; or what minimises the cost of the whole set, with
        ``epochs`` as its iterations.
    batch_size : int, default=32
        Rows in a mini-batch; above n it means the whole set (item D3). Under batch norm, a batch
        with fewer than two rows of non-zero weight joins the one before.
    epochs : int, default=10
        Passes over the rows, at most.
    seed : int, default=0
        Of the shuffling and the augmentation. Dropout's masks have the state's own seed.
    sample_weight : (n,) array, optional
        Weights of the rows in the loss.
    class_weight : mapping or "balanced", optional
        Weights of the classes, by class number; they multiply the sample weights.
    validation : (X, y) or (X, y, sample_weight), optional
        Measured after every epoch.
    stopping : Stopping, optional
        End without improvement, and return the best θ: on the validation loss (its score with
        ``maximize=True``), without a validation set on the cost (items O9, R4).
    schedule : Schedule, optional
        How the learning rate changes; constant by default (item O7).
    clipping : ClipNorm or ClipValue, optional
        What is done to a gradient before its step.
    augment : callable, optional
        ``augment(x, rows, epoch) -> x'``, label-preserving, drawn afresh each epoch, such as a
        ``deltarule.augmentation.Compose`` (item D4).
    shuffle : bool, default=True
        Visit the rows in a new order every epoch.
    record_health : bool, default=False
        Record norms, dead and saturated units after every epoch (items H1-H3).
    on_epoch : callable, optional
        Called with the ``History`` so far after every epoch; returning True stops.
    engine : {"auto", "compiled", "reference"}, default="auto"
        What runs the network: compiled kernels on NumPy arrays, or the readable reference on
        arrays of any library. "auto" is "compiled" if θ is a NumPy array.
    n_threads : int, optional
        The most threads that the compiled engine may use. By default the environment variable
        ``DELTARULE_NUM_THREADS``, or else every core that the process may use.
    checkpoint : str, path-like or Checkpoint, optional
        A folder where checkpoints of this training are kept; the same call goes on from the newest
        one, to the same bits. Not for LBFGS and LineSearch.

    Returns
    -------
    history : History
        Losses and scores, epoch by epoch.

    Raises
    ------
    DivergenceError
        At the first non-finite loss; the state is then the best finite one.
    CheckpointError
        If the folder holds checkpoints of another training, or none that can be used.
    OutputError
        If no checkpoint can be written there.
    SpecError, ShapeError, DataError
        For arguments that do not go together, or do not fit the network.

    Examples
    --------
    >>> import numpy as np
    >>> from deltarule import SGD, Dense, Network, train
    >>> X, y = np.array([[0, 0], [0, 1], [1, 0], [1, 1]]), np.array([0, 1, 1, 0])
    >>> net = Network(2, [Dense(4, "tanh"), Dense(1, "sigmoid")], loss="binary_cross_entropy")
    >>> state = net.initialize(seed=0)
    >>> history = train(net, state, X, y, optimizer=SGD(1.0), batch_size=4, epochs=300)
    >>> (net.predict(state, X)[:, 0] > 0.5).astype(int).tolist()
    [0, 1, 1, 0]
    """
    if not (stopping is None or isinstance(stopping, Stopping)):
        raise SpecError(f"stopping must be Stopping(…) or None; got {stopping!r}.")
    if not (schedule is None or hasattr(schedule, "on_plateau")):
        raise SpecError(f"schedule must be a schedule such as Adaptive(); got {schedule!r}.")
    if not (clipping is None or isinstance(clipping, ClipNorm | ClipValue)):
        raise SpecError(f"clipping must be ClipNorm(c), ClipValue(c) or None; got {clipping!r}.")
    check_state(net.tape, state)
    block, _ = make_block(net, X, y, sample_weight, class_weight)
    epochs = check_positive_integer("epochs", epochs)

    def interpret_with(chosen: Optimizer | None) -> Interpreter:
        return interpreter_of(
            net.tape, chosen, clipping, engine=engine, n_threads=n_threads, like=state.theta
        )

    monitor = HealthMonitor(net.tape, state, block) if record_health else None
    watchers: list[Callable[[History], bool]] = [] if monitor is None else [monitor.observe]
    if on_epoch is not None:
        watchers.append(on_epoch)

    def after_epoch(history: History) -> bool:
        answers = [watch(history) for watch in watchers]  # each is told, whoever says stop
        return any(answers)

    if isinstance(optimizer, LBFGS | LineSearch):
        _refuse_for_minimizers(
            validation=validation, stopping=stopping, schedule=schedule, clipping=clipping,
            augment=augment, checkpoint=checkpoint,
        )  # fmt: skip
        return _minimize(interpret_with(None), net, state, block, optimizer, epochs, after_epoch)
    chosen = check_optimizer(SGD() if optimizer is None else optimizer)
    watch = None if stopping is None else replace(stopping, best=None, stale=0)
    if watch is not None and watch.maximize and validation is None:
        raise SpecError(
            "stopping with maximize=True watches the validation score: give validation=(X, y)."
        )
    batch_size = check_positive_integer("batch_size", batch_size)
    if batch_size < net.tape.least_rows:
        raise SpecError(
            f"batch_size must be at least {net.tape.least_rows} for a network with batch norm; got "
            f"{batch_size}: one row has no variance."
        )
    if isinstance(chosen, Rprop):
        _check_rprop(net, block, batch_size, schedule)
    rng = np.random.default_rng(seed)
    measured = None if validation is None else _validation_block(net, validation)
    run = Run(
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=chosen.learning_rate,
        orders=epoch_orders(block.n_rows, rng.permutation if shuffle else None),
        schedule=Constant() if schedule is None else schedule,
        stopping=watch,
        validation=None if measured is None else _validation(interpret_with(None), net, measured),
        restore_best=stopping is not None,
        block_of=None if augment is None else augmented_blocks(block, augment),
        least_rows=net.tape.least_rows,
        on_begin=None if monitor is None else monitor.begin,
        on_epoch=after_epoch,
    )
    interpreter = interpret_with(chosen)
    state.slots = None
    if checkpoint is None:
        history = run_epochs(interpreter, state, block, run)
    else:
        arguments = {
            "net": net, "optimizer": chosen, "batch_size": batch_size, "seed": seed,
            "class_weight": class_weight, "stopping": watch, "schedule": schedule,
            "clipping": clipping, "augment": augment, "shuffle": shuffle,
            "record_health": record_health, "engine": engine,
        }  # fmt: skip
        blocks = {"": block} | ({} if measured is None else {"validation ": measured[0]})
        history = _run_with_checkpoints(
            interpreter, state, run, blocks, _Kept(checkpoint, arguments, rng)
        )
    return _checked(history, block, chosen.learning_rate)


class _Kept(NamedTuple):
    """What keeping checkpoints takes beside the run."""

    checkpoint: Any
    arguments: dict[str, Any]
    rng: np.random.Generator


def _run_with_checkpoints(
    interpreter: Interpreter, state: State, run: Run, blocks: dict[str, Block], kept: _Kept
) -> History:
    """Run with a keeper of checkpoints; ``blocks`` are the data, by what their names begin with."""
    from deltarule.training.checkpoints.identity import fingerprint
    from deltarule.training.checkpoints.keeper import keeping
    from deltarule.training.checkpoints.schedules import check_end

    where, arguments = as_checkpoint(kept.checkpoint), kept.arguments
    arguments |= check_end("epochs", run.epochs, run.schedule)
    data = {
        f"{begin}{name}": fingerprint(part)
        for begin, block in blocks.items()
        for name, part in (("X", block.x), ("y", block.y), ("sample_weight", block.weight))
    }
    data["state"] = fingerprint(state.theta)
    with keeping(where, arguments | {"masks": [state.seed, state.step]}, HEALTH_KINDS) as keeper:
        keeper.stream("shuffling", kept.rng)
        keeper.compare(data, ("epochs", run.epochs))
        run.keeper = keeper
        return run_epochs(interpreter, state, blocks[""], run)


def _check_rprop(net: Network, block: Block, batch_size: int, schedule: Schedule | None) -> None:
    """Refuse what the signs of noisy gradients, or step sizes of its own, cannot go with."""
    if batch_size < block.n_rows:
        raise SpecError(
            f"optimizer=Rprop() compares the signs of whole gradients: set batch_size to at least "
            f"{block.n_rows}, the number of rows; got {batch_size}."
        )
    if not (schedule is None or isinstance(schedule, Constant)):
        raise SpecError("optimizer=Rprop() sets its own step sizes: leave schedule out.")
    if any(p.code == PenaltyCode.PROXIMAL_L1 for p in net.tape.penalties):
        raise SpecError(
            "optimizer=Rprop() has no learning rate for a proximal step: use L1(s) without "
            "proximal=True, or another optimiser."
        )


def _minimize(
    interpreter: Interpreter,
    net: Network,
    state: State,
    block: Block,
    optimizer: Minimizer,
    epochs: int,
    on_iteration: Callable[[History], bool],
) -> History:
    if net.tape.normalizations:
        raise SpecError(
            f"optimizer={type(optimizer).__name__} minimises over the whole set, and batch norm "
            "accumulates statistics over mini-batches: use SGD, Adam or another that takes a step "
            "a mini-batch."
        )
    if isinstance(optimizer, LBFGS):
        ended = minimize_cost(
            interpreter,
            state,
            block,
            max_iterations=epochs,
            max_evaluations=optimizer.max_evaluations,
            memory=optimizer.memory,
            tol=optimizer.tol,
            flat=_ROUNDING,
            on_iteration=on_iteration,
        )
    else:
        ended = descend(
            interpreter,
            state,
            block,
            max_iterations=epochs,
            max_evaluations=optimizer.max_evaluations,
            max_step=optimizer.max_step,
            tol=optimizer.tol,
            on_iteration=on_iteration,
        )
    return _checked(ended.history, block, None)


def _refuse_for_minimizers(**given: Any) -> None:
    for name, value in given.items():
        if value is not None:
            raise SpecError(
                f"{name} is for optimisers that take a step a mini-batch; LBFGS and LineSearch "
                f"minimise the cost of the whole set. Leave {name} out, or use Adam() or SGD()."
            )


def _checked(history: History, block: Block, learning_rate: float | None) -> History:
    if history.stopped_by == "divergence":
        x = block.x if is_sparse(block.x) else to_numpy(block.x)
        raise divergence_error(
            x, to_numpy(block.y), epochs=history.n_epochs, learning_rate=learning_rate
        )
    return history


def _validation_block(net: Network, given: tuple[Any, ...]) -> tuple[Block, Any]:
    if len(given) not in (2, 3):
        raise ShapeError(
            f"validation must be (X, y) or (X, y, sample_weight); got {len(given)} items."
        )
    return make_block(net, *given)


def _validation(
    interpreter: Interpreter, net: Network, measured: tuple[Block, Any]
) -> Callable[[State], Figures]:
    block, targets = measured

    def measure(state: State) -> Figures:
        outputs = interpreter.forward(state, block)
        return Figures(mean_loss(net, state, block), score_outputs(outputs, targets, block.weight))

    return measure
