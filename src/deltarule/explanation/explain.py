"""`explain`: rows on their way through a user's own network, every equation with its numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from deltarule.errors import SpecError
from deltarule.explanation.lines import Part
from deltarule.explanation.member_lines import MemberLines
from deltarule.explanation.network_lines import PassLines
from deltarule.explanation.optimizer_lines import step_part
from deltarule.explanation.render import html_fragment, html_page, markdown, plain_text
from deltarule.network import Network
from deltarule.network.data import check_inputs, make_block
from deltarule.network.trace import trace_pass
from deltarule.program import Block, State
from deltarule.program.opcodes import Op
from deltarule.program.state_checks import check_theta
from deltarule.spec.gradient_clipping import Clipping
from deltarule.spec.optimizers import SGD, Minimizer, Optimizer, resolve_optimizer
from deltarule.storage import StrPath, write_atomically
from deltarule.utils.checks import check_flag

__all__ = ["Explained", "Explanation", "check_ending", "explain"]


class Explained(NamedTuple):
    """What an explanation is made from: a network in float64, at a state, and rows."""

    title: str
    network: Network
    state: State
    block: Block
    solver: Optimizer | Minimizer
    learning_rate: float | None = None
    clipping: Clipping | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Explanation:
    """Every equation of a pass with its numbers; ``print`` it, show it in a notebook, or save it.

    Attributes
    ----------
    title : str
        What is explained.
    notes : tuple of str
        What a reader should know about the numbers, such as that inputs are standardised.
    parts : tuple of Part
        Forward, loss, backward, gradients, step; each has ``title`` and ``lines``.
    """

    title: str
    notes: tuple[str, ...]
    parts: tuple[Part, ...]

    def __str__(self) -> str:
        """Return the explanation as plain text."""
        return plain_text(self.title, self.notes, self.parts)

    def __repr__(self) -> str:
        """Return the title and the number of lines."""
        count = sum(len(part.lines) for part in self.parts)
        return f"<Explanation: {self.title}, {count} lines; print it>"

    def _repr_html_(self) -> str:
        return html_fragment(self.title, self.notes, self.parts)

    def markdown(self) -> str:
        """Return the explanation as Markdown with LaTeX between dollar signs."""
        return markdown(self.title, self.notes, self.parts)

    def html(self) -> str:
        """Return one HTML page that needs nothing else: its equations are MathML."""
        return html_page(self.title, self.notes, self.parts)

    def save(self, path: str | PathLike[str], *, overwrite: bool = False) -> Path:
        """Write the explanation to a file: .html, .md or .txt.

        Parameters
        ----------
        path : str or path
            Where to; the ending decides the kind.
        overwrite : bool, default=False
            Whether an existing file may be replaced.

        Returns
        -------
        path : Path
            The file.

        Raises
        ------
        SpecError
            For another ending.
        OutputError
            If the file exists, or cannot be written.
        """
        text = self.as_file(check_ending(path))
        return write_atomically(path, text.encode(), overwrite=overwrite)

    def as_file(self, ending: str) -> str:
        """Return what a file with this ending holds."""
        writers: dict[str, Callable[[], str]] = {".md": self.markdown, ".txt": self.__str__}
        return writers.get(ending, self.html)()


def check_ending(path: StrPath) -> str:
    """Return the ending of a file for an explanation, or raise ``SpecError``."""
    ending = Path(path).suffix.lower()
    if ending not in (".html", ".htm", ".md", ".txt"):
        raise SpecError(
            f"path must end in .html, .md or .txt; got {Path(path).name!r}, so write for example "
            f"to {Path(path).with_suffix('.html').name!r}."
        )
    return ending


def explain(
    model: Any,
    X: Any,
    y: Any = None,
    *,
    state: State | None = None,
    optimizer: str | Optimizer | Minimizer | None = None,
    training: bool = False,
) -> Explanation:
    """Show rows on their way through a network: every equation with symbols, numbers and shapes.

    Forward pass, loss, deltas (BP1, BP2), gradients (BP3, BP4) and one step of the optimiser, with
    batch norm, dropout, penalties. Each line begins with its item of docs/maths.md, such as B1, or
    with the number of its equation there, such as (21), where it has no item; "own" is a function
    of yours. All numbers are computed in float64 by the reference mathematics, which the gradient
    check proves.

    Parameters
    ----------
    model : MLPClassifier, MLPRegressor, TableModel or Network
        Whose network; fitted, or with ``state``. Of a `TabularClassifier` it is ``model_``.
    X : array-like (n, d), or Table of a TableModel
        One row or a few; ``X[:1]`` is the first row.
    y : array-like (n,) or (n, k), optional
        Targets as in ``fit``; without them there is only the forward pass. Of a TableModel the
        numbers of the rows, counted from 0; its table has the targets.
    state : State, optional
        Of a ``Network``: its parameters.
    optimizer : str or an optimiser, optional
        Of the step; by default the estimator's own solver, and ``SGD(0.01)`` for a ``Network``.
    training : bool, default=False
        Whether this is a pass of training, with the masks of dropout and the moments of these rows
        in batch norm. By default it is the pass that predicts; of a network with dropout or batch
        norm, which are others in training, it has no step of the optimiser.

    Returns
    -------
    explanation : Explanation
        ``print(explanation)`` shows it as text, a notebook with its equations set, and
        ``explanation.save("page.html")`` writes a page that needs no network.

    Raises
    ------
    SpecError
        If the model is none of these, or a Network has no state.
    DataError, ShapeError
        If X or y do not fit the model.

    Examples
    --------
    >>> from deltarule import Dense, Network, explain
    >>> net = Network(2, [Dense(1, "sigmoid")], loss="binary_cross_entropy")
    >>> state = net.initialize(seed=0)
    >>> state.theta[:] = [1.0, -1.0, 0.5]
    >>> print(explain(net, [[2.0, 1.0]], state=state))
    Network 2-1: forward pass of 1 row
    <BLANKLINE>
    Forward
      M4  The inputs, 1 row of 2
          A0 = X
          A0 (1, 2) = [ 2  1 ]
      B1  Layer 1: weighted sums
          Z1 = A0 W1 + b1
          A0 (1, 2) = [ 2  1 ]
          W1 (2, 1) = [  1 ]
                      [ -1 ]
          b1 (1,) = [ 0.5 ]
          Z1 (1, 1) = [ 1.5 ]
      A2  Layer 1: activation sigmoid
          A1 = g(Z1), g(z) = 1/(1 + e^−z)
          A1 (1, 1) = [ 0.8176 ]
    """
    parts_of: Callable[..., Explained] | None = getattr(model, "explained", None)
    if isinstance(model, Network):
        given = _of_network(model, state, X, y)
    elif parts_of is None:
        raise SpecError(
            "model must be a fitted MLPClassifier or MLPRegressor, or a Network with state=...; "
            f"got {type(model).__name__}."
        )
    elif state is not None:
        raise SpecError("state goes with a Network; a fitted model has its own.")
    else:
        given = Explained(*parts_of(X, y))
    check_flag("training", training)
    if optimizer is not None:
        given = given._replace(solver=resolve_optimizer(optimizer), learning_rate=None)
    return _explanation(given, training)


def _of_network(net: Network, state: State | None, X: Any, y: Any) -> Explained:
    if not isinstance(state, State):
        raise SpecError(
            "state must be the parameters of the Network, such as state=net.initialize(0); got "
            f"{state!r}."
        )
    check_theta(state, net.tape)
    double = replace(net, dtype="float64")
    state = state.copy()
    state.theta = np.asarray(state.theta, dtype=np.float64)
    state.optimizer_state = None
    block = (
        Block(check_inputs(double, X)) if y is None else make_block(double, X, y, smoothed=True)[0]
    )
    return Explained("Network", double, state, block, SGD(0.01))


def _explanation(given: Explained, training: bool) -> Explanation:
    net, state, block = given.network, given.state, given.block
    notes, differs = list(given.notes), _differs_in_training(net)
    trace = trace_pass(net.tape, state, block, training=training)
    writer = PassLines if net.members == 1 else MemberLines
    parts = writer(net, net.parameters(state), trace, block.y, training=training).parts()
    if net.members > 1:
        notes.append(
            f"The network has {net.members} members with the same W; i counts them. A row holds "
            "them side by side: the units of member 1, then of member 2, and so on. The loss of a "
            "row is the mean of the members' losses."
        )
    stepping = block.y is not None and (training or not differs)
    if differs:
        notes.append(
            f"A pass of training, with {differs}: the pass that predicts has other numbers."
            if training
            else f"The pass that predicts. A pass of training, with {differs}, and a step of the "
            "optimiser are shown with training=True (--training)."
        )
    if stepping:
        parts.append(
            step_part(net, state, block, given.solver, given.learning_rate, given.clipping)
        )
    widths = "-".join(str(w) for w in [net.n_inputs, *(d.units for d in net.dense_layers)])
    rows = "1 row" if block.n_rows == 1 else f"{block.n_rows} rows"
    what = "forward, backward and one step" if stepping else "forward and backward pass"
    what = "forward pass" if block.y is None else what
    return Explanation(f"{given.title} {widths}: {what} of {rows}", tuple(notes), tuple(parts))


def _differs_in_training(net: Network) -> str:
    """Return what makes a pass of training another one than that of prediction; "" if nothing."""
    ops = {line.op for line in net.tape.instructions}
    named = {
        Op.DROPOUT: "the masks of dropout",
        Op.NORMALIZE: "the moments of these rows in batch norm",
    }
    return " and ".join(words for op, words in named.items() if op in ops)
