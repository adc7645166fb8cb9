"""Training a network: ``train`` is the only way into the training loop.

Users call it with arrays. The estimators call it, too, with blocks that they have prepared.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from functools import wraps
from typing import Any, NamedTuple, TypeAlias, TypeVar, cast

import numpy as np

from deltarule.analysis.health import HEALTH_KINDS, HealthMonitor
from deltarule.errors import ShapeError, SpecError
from deltarule.network import Network, score_outputs
from deltarule.network.backend import interpreter_of
from deltarule.network.data import make_block
from deltarule.network.scores import mean_of_rows
from deltarule.network.targets import Targets
from deltarule.program import Block, Interpreter, State
from deltarule.program.state_checks import check_theta
from deltarule.schedules import Position, Schedule, resolve_schedule
from deltarule.spec import check_network
from deltarule.spec.gradient_clipping import ClipNorm, Clipping, ClipValue
from deltarule.spec.optimizers import (
    LBFGS,
    SGD,
    Minimizer,
    Optimizer,
    Rprop,
    resolve_optimizer,
)
from deltarule.spec.shards import Shards, resolve_shards
from deltarule.training import (
    Augmenter,
    EarlyStopping,
    History,
    Metrics,
    TrainingConfig,
    augmented_blocks,
    descend,
    minimize_cost,
    run_epochs,
)
from deltarule.training.checkpoints.opening import checkpointer_of
from deltarule.training.compatibility import (
    OptimizerName,
    argument_choices,
    check_augmented_data,
    check_batch_norm_rows,
    check_local_steps,
    check_minimizer,
    check_proximal,
    check_rprop,
    check_shards,
    network_choices,
    refuse_schedule,
)
from deltarule.training.config import Validation
from deltarule.training.data import EpochData
from deltarule.training.divergence import divergence_error, warn_of_frozen
from deltarule.training.partitions import PartitionedBlock, PartitionLayout
from deltarule.training.resume import resume_point, resumed
from deltarule.training.state import TrainingState
from deltarule.utils.arrays import Array, is_sparse, to_numpy
from deltarule.utils.checks import (
    check_between,
    check_call,
    check_flag,
    check_positive_integer,
)
from deltarule.utils.context import naming
from deltarule.utils.progress import ProgressBar, progress_bar, stopped

__all__ = ["train"]

_EPOCHS = 10
_ITERATIONS = 200  # of LBFGS and LineSearch, as the estimators' default
_BATCH_SIZE = 32
_ROUNDING = 1e-15  # a relative fall of the cost that is no more than rounding

Data: TypeAlias = Block | EpochData
Trains = TypeVar("Trains", bound=Callable[..., History])


def _one_at_a_time(train: Trains) -> Trains:
    """Return ``train`` with one training of a state at a time; other threads' wait."""

    @wraps(train)
    def alone(net: Network, state: State, *args: Any, **kwargs: Any) -> History:
        with state.training_lock() if isinstance(state, State) else nullcontext():
            return train(net, state, *args, **kwargs)

    return cast(Trains, alone)


@_one_at_a_time
def train(
    net: Network,
    state: State,
    X: Array | Block | EpochData,
    y: Any = None,
    *,
    optimizer: str | Optimizer | Minimizer | None = None,
    batch_size: int | None = None,
    epochs: int | None = None,
    planned_epochs: int | None = None,
    seed: Any = 0,
    sample_weight: Any = None,
    class_weight: Any = None,
    validation: tuple[Any, ...] | Validation | None = None,
    stopping: EarlyStopping | None = None,
    schedule: str | Schedule | None = None,
    clipping: Clipping | None = None,
    augment: Augmenter | None = None,
    shuffle: bool = True,
    loss_scale: float = 1.0,
    record_health: bool = False,
    on_epoch_begin: Callable[[State], None] | None = None,
    on_epoch: Callable[[History], bool] | None = None,
    progress: bool = False,
    engine: str | Interpreter = "auto",
    n_threads: int | None = None,
    checkpoint: Any = None,
    resume: History | Position | None = None,
    shards: int | Shards | None = None,
) -> History:
    """Return the history of a training; the state is changed in place.

    Parameters
    ----------
    net : Network
        The network to train.
    state : State
        From ``net.initialize(seed)``, or from an earlier call. The optimiser starts again, unless
        ``resume`` is given.
    X : (n, d) array or CSR matrix
        Inputs. Or a ``Block`` or ``StreamedBlock`` with inputs, targets and weights that are
        prepared for the network; y, sample_weight and class_weight are then left out.
    y : (n,) or (n, k) array
        Targets: class numbers, one-hot or soft rows, 0/1 labels, or numbers.
    optimizer : str, Optimizer, LBFGS or LineSearch, default=SGD(0.01)
        A name such as "adam" means the optimiser with its default constants. LBFGS and LineSearch
        minimise the cost of the whole set; the others take one step for each mini-batch.
    batch_size : int, optional
        Rows in a mini-batch; above n it means the whole set (item D3). By default 32, and all
        rows for Rprop. Under batch norm, a batch with fewer than two rows of non-zero weight is
        merged with the one before it.
    epochs : int, optional
        The number of passes over the rows, at most; by default 10. For LBFGS and LineSearch it is
        the number of iterations, by default 200.
    planned_epochs : int, optional
        The epochs of the whole training, if later calls resume it: a schedule such as ``Cosine``
        depends on them. By default training ends with this call.
    seed : int, default=0
        Of the shuffling. The masks of dropout have the state's own seed. A NumPy ``Generator`` or
        ``RandomState`` is used as it is.
    sample_weight : (n,) array, optional
        Weights of the rows in the loss.
    class_weight : dict or "balanced", optional
        Weights of the classes, by class number; they multiply the sample weights. "balanced"
        means n/(k n_class). For several labels, a list with a dict for each.
    validation : (X, y), (X, y, sample_weight) or callable, optional
        Measured after every epoch. A callable gets the state, and returns ``Metrics``.
    stopping : EarlyStopping, optional
        End without improvement, and return the best θ: by the validation loss (its score with
        ``maximize=True``), without a validation set by the cost (items O9, R4).
    schedule : str or Schedule, optional
        How the learning rate changes, such as "cosine"; constant by default (item O7).
    clipping : ClipNorm or ClipValue, optional
        Limits each gradient before its step.
    augment : callable, optional
        ``augment(x, rows, epoch) -> x'``: changes that keep the labels, drawn again for each
        epoch, such as a ``deltarule.augmentation.Compose`` (item D4).
    shuffle : bool, default=True
        Visit the rows in a new order in every epoch.
    loss_scale : float, default=1.0
        Multiplies the training loss in the history: 1/k reports the mean over k targets.
    record_health : bool, default=False
        Record norms, dead and saturated units after every epoch (items H1-H3).
    on_epoch_begin : callable, optional
        Called before every epoch with the state that the epoch begins with.
    on_epoch : callable, optional
        Called with the ``History`` so far after every epoch; returning True ends training.
    progress : bool, default=False
        Draw a bar with the latest loss and score and the time left, on the standard error stream
        of a terminal or in a notebook; nothing where that stream is a pipe or a file.
    engine : {"auto", "compiled", "reference"} or Interpreter, default="auto"
        What runs the network: compiled kernels on NumPy arrays, or the readable reference on
        arrays of any library. "auto" is "compiled" if θ is a NumPy array. An interpreter is used
        as it is; it must have been made for the same optimiser.
    n_threads : int, optional
        The most threads that the compiled engine may use. By default the environment variable
        ``DELTARULE_NUM_THREADS``, or else every core that the process may use.
    checkpoint : str, path-like or Checkpoint, optional
        A folder for checkpoints of this training. The same call resumes from the newest one, to
        the same bits. Not for LBFGS and LineSearch.
    resume : History, optional
        What an earlier call returned. Training continues for ``epochs`` more epochs with that
        call's optimiser state, learning rate, random numbers and patience, and the new history
        begins with the earlier epochs. Two calls of one epoch give the same bits as one call of
        two. Give the state that the earlier call left, and the same rows. A ``Position`` instead
        only continues the counts and rates, with a new history. Not for LBFGS and LineSearch.
    shards : int or Shards, optional
        Cut every batch into so many shards (a power of two), and add the sums over them in a
        balanced tree: the numbers that a cluster computes. A step differs from one without shards
        by rounding only. Not with batch norm.

    Returns
    -------
    history : History
        Losses and scores, epoch by epoch.

    Raises
    ------
    DivergenceError
        At the first non-finite loss; the state is then the best finite one, and the error's
        ``history`` holds the epochs so far.
    CheckpointError
        If the folder holds checkpoints of another training, or only unusable ones.
    OutputError
        If no checkpoint can be written there.
    SpecError, ShapeError, DataError
        For arguments that do not go together, or do not fit the network; for weights that are all
        0, or whose sum overflows.
    BusyError
        If the code that a training calls (or a signal handler) trains the same state. From
        another thread, a call waits until the state's training has ended.

    Warns
    -----
    FrozenTrainingWarning
        If squares of gradients overflow in the optimiser's memory, so that parameters stand still.
    InexactResumeWarning
        If a training resumes from a checkpoint of another engine, kind of processor or release.

    Notes
    -----
    Other threads may use the state meanwhile, through the network's methods: they get the numbers
    of one state between two steps. A signal handler inside a step gets those of the state that the
    epoch began with (or a run of some short epochs, which take a hundredth of a second together).
    What your functions get: ``augment`` a copy of the rows, which it may change;
    ``validation`` and ``on_epoch_begin`` a read-only view of the state; ``on_epoch`` the history
    itself, and a schedule the position, whose arrays are read-only.

    Examples
    --------
    >>> import numpy as np
    >>> from deltarule import SGD, Dense, Network, train
    >>> X, y = np.array([[0, 0], [0, 1], [1, 0], [1, 1]]), np.array([0, 1, 1, 0])
    >>> net = Network(2, [Dense(4, "tanh"), Dense(1, "sigmoid")], loss="binary_cross_entropy")
    >>> state = net.initialize(seed=0)
    >>> history = train(net, state, X, y, optimizer=SGD(1.0), batch_size=4, epochs=200)
    >>> history = train(
    ...     net, state, X, y, optimizer=SGD(1.0), batch_size=4, epochs=100, resume=history
    ... )
    >>> history.n_epochs, (net.predict(state, X)[:, 0] > 0.5).astype(int).tolist()
    (300, [0, 1, 1, 0])
    """
    check_network(net)
    name = OptimizerName("optimizer", SGD() if optimizer is None else optimizer)
    chosen, laws = resolve_optimizer(name.value), resolve_schedule(schedule)
    if not (stopping is None or isinstance(stopping, EarlyStopping)):
        raise SpecError(f"stopping must be EarlyStopping(…) or None; got {stopping!r}.")
    if not (clipping is None or isinstance(clipping, ClipNorm | ClipValue)):
        raise SpecError(f"clipping must be ClipNorm(c), ClipValue(c) or None; got {clipping!r}.")
    if not (resume is None or isinstance(resume, History | Position)):
        raise SpecError(f"resume must be a History that train returned, or None; got {resume!r}.")
    if not (augment is None or callable(augment)):
        raise SpecError(f"augment must be a function (x, rows, epoch); got {augment!r:.40}.")
    if not (isinstance(engine, str) or hasattr(engine, "train_steps")):
        raise SpecError(
            f"engine must be 'auto', 'compiled', 'reference' or an Interpreter; got {engine!r:.40}."
        )
    if planned_epochs is not None:
        check_positive_integer("planned_epochs", planned_epochs)
    shuffle, record_health = (
        check_flag("shuffle", shuffle), check_flag("record_health", record_health)
    )  # fmt: skip
    progress = check_flag("progress", progress)
    check_between("loss_scale", loss_scale, 0.0, 1e100, open_low=True)
    if augment is not None:
        check_call("augment", augment, "augment(x, rows, epoch)", 3)
    check_theta(state, net.tape)
    data = _data_of(net, X, y, sample_weight, class_weight)
    cuts = resolve_shards(shards)
    _check_shards(cuts, net, data, engine, augment)
    check_local_steps(name, net, cuts)
    if epochs is None:
        epochs = _ITERATIONS if isinstance(chosen, Minimizer) else _EPOCHS
    epochs = check_positive_integer("epochs", epochs)

    def interpret_with(steps: Optimizer | None) -> Interpreter:
        if not isinstance(engine, str):
            return engine
        return interpreter_of(
            net.tape, steps, clipping,
            engine=engine, n_threads=n_threads, like=state.theta, shards=cuts,
        )  # fmt: skip

    head = data.head if isinstance(data, EpochData) else data
    hooks = _Hooks(None if on_epoch_begin is None else _shown(on_epoch_begin), on_epoch)
    if record_health:
        hooks = hooks.with_health(HealthMonitor(net.tape, state, head))
    before = resume.n_epochs if isinstance(resume, History) else 0
    bar = progress_bar(before + epochs, sys.stderr) if progress else None
    if bar is not None:
        hooks = hooks.with_bar(bar)
    if isinstance(chosen, Minimizer):
        given = {
            "validation": validation, "stopping": stopping, "clipping": clipping,
            "augment": augment, "checkpoint": checkpoint, "resume": resume,
        }  # fmt: skip
        check_minimizer(name, [*network_choices(net), *argument_choices(given)])
        refuse_schedule(name, "schedule", laws, "schedule=None")
        if isinstance(data, EpochData) and not hasattr(engine, "sums_epochs"):
            raise SpecError(f"{name} needs all rows in one block. Set {name.others}.")
        with stopped(bar):
            history = _minimize(
                interpret_with(None), state, data, chosen, epochs, loss_scale, hooks.end
            )
        return _checked(history, data, history.n_epochs, None)

    # --- a step for each mini-batch ---
    size = _batch_size(net, data, chosen, batch_size, name)
    if isinstance(chosen, Rprop):
        refuse_schedule(name, "schedule", laws, "schedule=None")
        check_proximal(name, net)
    if stopping is not None and stopping.maximize and validation is None:
        raise SpecError(
            "stopping with maximize=True watches the validation score: give validation=(X, y)."
        )
    if checkpoint is not None and isinstance(resume, History):
        raise SpecError(
            "resume does not go with checkpoint, whose folder says where training resumes. Leave "
            "one of them out."
        )
    measured, validate = _validation(validation, net, interpret_with)
    own = not isinstance(seed, np.random.Generator | np.random.RandomState)
    try:
        rng = np.random.default_rng(seed) if own else seed
    except (TypeError, ValueError) as error:
        raise SpecError(
            f"seed must be an integer of at least 0, a Generator or RandomState; got {seed!r:.40}."
        ) from error
    interpreter = interpret_with(chosen)
    if cuts is not None and cuts.partitions is not None:
        layout = PartitionLayout.of(cuts)
        rows = PartitionedBlock(data, layout) if isinstance(data, Block) else data
        data = rows.ordered(_order_seed(seed, rng), size, shuffle)
    epoch_block = None if augment is None else _augmented(data, augment)
    if isinstance(resume, History):
        own_rng = rng if own else None
        start = resumed(resume, state, interpreter, data.n_rows, stopping, own_rng)
    else:
        if resume is None:
            state.optimizer_state = None
        start = TrainingState.begin(state, Position() if resume is None else resume)
    config = TrainingConfig(
        epochs=start.history.n_epochs + epochs,
        batch_size=size,
        learning_rate=chosen.learning_rate,
        shuffle=rng.permutation if shuffle and not isinstance(data, EpochData) else None,
        schedule=laws,
        stopping=stopping,
        validation=validate,
        epoch_block=epoch_block,
        min_rows=net.tape.min_rows,
        planned_epochs=planned_epochs,
        loss_scale=loss_scale,
        on_epoch_begin=hooks.begin,
        on_epoch=hooks.end,
    )
    if checkpoint is None:
        with stopped(bar):
            ended = run_epochs(interpreter, state, data, config, start)
    else:
        arguments = {
            "net": net, "optimizer": chosen, "batch_size": size, "seed": seed,
            "class_weight": class_weight, "stopping": stopping, "schedule": laws,
            "clipping": clipping, "augment": augment, "shuffle": shuffle,
            "record_health": record_health, "loss_scale": loss_scale,
            "validation": None if measured is not None else validation,
        }  # fmt: skip
        if cuts is not None:  # so that checkpoints of earlier versions name no other argument
            arguments["shards"] = cuts
        blocks = {"": data} | ({} if measured is None else {"validation ": measured})
        with (
            stopped(bar),
            checkpointer_of(
                checkpoint, arguments, config, state, blocks, rng, HEALTH_KINDS, interpreter
            ) as writer,
        ):
            config = replace(config, checkpointer=writer)
            ended = run_epochs(interpreter, state, data, config, start)
    history = ended.history
    if ended.frozen:
        head = data.head if isinstance(data, EpochData) else data
        x = head.x if is_sparse(head.x) else to_numpy(head.x)
        warn_of_frozen(ended.frozen, state, x, chosen)
    history.position = ended.position
    random = rng.bit_generator.state if own else None
    history.resume_point = resume_point(ended, state, data.n_rows, stopping, random)
    return _checked(history, data, ended.position.epochs, chosen.learning_rate)


class _Hooks(NamedTuple):
    """What is called around every epoch; either may be missing."""

    begin: Callable[[State], None] | None
    end: Callable[[History], bool] | None

    def with_health(self, monitor: HealthMonitor) -> _Hooks:
        """Return hooks that record the health, too, before the user's function is called."""

        def begin(entered: State) -> None:
            monitor.begin(entered)
            if self.begin is not None:
                self.begin(entered)

        def end(history: History) -> bool:
            monitor.observe(history)
            return self.end is not None and bool(self.end(history))

        return _Hooks(begin, end)

    def with_bar(self, bar: ProgressBar) -> _Hooks:
        """Return hooks that draw the epoch on a progress bar, too."""

        def end(history: History) -> bool:
            bar.update(history.n_epochs, _newest(history))
            return self.end is not None and bool(self.end(history))

        return _Hooks(self.begin, end)


def _newest(history: History) -> str:
    """Return the newest loss and score, as the progress bar shows them."""
    loss = f"loss {history.last_cost:#.4g}"
    if not history.validation_score:
        return loss
    return f"{loss}  validation score {history.validation_score.last:#.4g}"


def _shown(begin: Callable[[State], None]) -> Callable[[State], None]:
    """Return a hook that gets a read-only view: a training may return to this very state."""
    return lambda entered: begin(entered.read_only())


def _data_of(net: Network, X: Any, y: Any, sample_weight: Any, class_weight: Any) -> Data:
    """Return the rows to train on, checked unless the caller has prepared them."""
    if not isinstance(X, Data):
        return make_block(net, X, y, sample_weight, class_weight, smoothed=True)[0]
    if not (y is None and sample_weight is None and class_weight is None):
        raise SpecError(
            "y, sample_weight and class_weight do not go with a block, which holds targets and "
            "weights: leave them out."
        )
    return X


def _check_shards(
    cuts: Shards | None, net: Network, data: Data, engine: Any, augment: Augmenter | None
) -> None:
    """Refuse shards that the training cannot have."""
    check_shards(cuts, bool(net.tape.normalizations), augment is not None)
    if cuts is None:
        return
    if not isinstance(engine, str) and getattr(engine, "count", None) != cuts.count:
        raise SpecError(
            f"shards={cuts.count} is for engines that train makes: name one, such as "
            "engine='compiled', or leave shards out."
        )
    if cuts.partitions is not None and isinstance(data, Block):
        PartitionLayout.of(cuts).check(data.n_rows)


def _order_seed(seed: Any, rng: Any) -> int:
    """Return the seed of the orders within partitions, which are not drawn one after another."""
    if isinstance(seed, int):
        return seed
    return int(rng.randint(2**31) if hasattr(rng, "randint") else rng.integers(2**31))


def _batch_size(
    net: Network, data: Data, chosen: Optimizer, given: int | None, name: OptimizerName
) -> int:
    """Return the rows in a mini-batch, by default as many as the optimiser needs."""
    if given is None:
        given = data.n_rows if isinstance(chosen, Rprop) else _BATCH_SIZE
    size = check_positive_integer("batch_size", given)
    if net.tape.normalizations:
        check_batch_norm_rows(data, size, "batch norm", "leave batch_norm out")
    if isinstance(chosen, Rprop):
        check_rprop(name, size, data.n_rows, "batch_size out")
    return size


def _augmented(data: Data, augment: Augmenter) -> Callable[[int], Block]:
    """Return a function from an epoch's number to its augmented block."""
    if isinstance(data, EpochData):
        raise SpecError("augment needs all rows in one block. Leave augment out.")
    check_augmented_data(data.x)
    return augmented_blocks(data, augment)


def _minimize(
    interpreter: Interpreter,
    state: State,
    block: Any,
    chosen: Minimizer,
    iterations: int,
    loss_scale: float,
    on_iteration: Callable[[History], bool] | None,
) -> History:
    """Return the history of a minimisation over the whole set; its epochs are iterations."""
    common: dict[str, Any] = {
        "max_iterations": iterations,
        "max_evaluations": chosen.max_evaluations,
        "tol": chosen.tol,
        "loss_scale": loss_scale,
        "on_iteration": on_iteration,
    }
    if isinstance(chosen, LBFGS):
        ftol = _ROUNDING if chosen.ftol is None else chosen.ftol
        ended = minimize_cost(interpreter, state, block, memory=chosen.memory, ftol=ftol, **common)
    else:
        ended = descend(interpreter, state, block, max_step=chosen.max_step, **common)
    history = ended.history
    history.message, history.converged = ended.message, ended.converged
    return history


def _checked(history: History, data: Data, epochs: int, learning_rate: float | None) -> History:
    """Return the history, or raise the error of a training that diverged."""
    if history.stopped_by == "divergence":
        x = data.x if is_sparse(data.x) else to_numpy(data.x)
        error = divergence_error(x, to_numpy(data.y), epochs=epochs, learning_rate=learning_rate)
        error.history = history
        raise error
    return history


def _validation(
    given: Any, net: Network, interpret_with: Callable[[None], Interpreter]
) -> tuple[Block | None, Validation | None]:
    """Return the validation block, if there is one, and what measures a state."""
    if given is None:
        return None, None
    if callable(given):
        check_call("validation", given, "validation(state)", 1)
        return None, given
    if not isinstance(given, tuple | list):
        raise SpecError(
            f"validation must be (X, y), (X, y, sample_weight) or callable; got {given!r:.40}."
        )
    if len(given) not in (2, 3):
        raise ShapeError(
            f"validation must be (X, y) or (X, y, sample_weight); got {len(given)} items."
        )
    with naming("validation"):
        block, targets = make_block(net, *given, smoothed=False)
    return block, _HeldOutRows(interpret_with(None), block, targets)


class _HeldOutRows:
    """What measures loss and score of rows with the interpreter that was asked for."""

    keeps_state = True  # so that training passes its state and no read-only view

    def __init__(self, interpreter: Interpreter, block: Block, targets: Targets) -> None:
        self.evaluation = interpreter.evaluation(block)
        self._targets, self._weight = targets, block.weight

    def __call__(self, state: State) -> Metrics:
        return self._metrics(*self.evaluation(state))

    def measure_all(self, outputs: Array, losses: Array) -> list[Metrics]:
        """Return the metrics of several states with these outputs (m, n, k) and losses (m, n)."""
        return list(map(self._metrics, outputs, losses))

    def _metrics(self, outputs: Array, losses: Array) -> Metrics:
        weight = None if self._weight is None else to_numpy(self._weight)
        return Metrics(
            mean_of_rows(to_numpy(losses), weight),
            score_outputs(outputs, self._targets, weight),
        )
