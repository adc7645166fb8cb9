"""Displays of a network's inside: weights, activations, gradients and dropout masks, by layer."""

from __future__ import annotations

from typing import Any

import numpy as np

from deltarule.errors import ShapeError, SpecError
from deltarule.network import Network
from deltarule.network.trace import Trace
from deltarule.plots.arguments import check_estimator, check_network, check_trace
from deltarule.plots.axes import BLUE, ORANGE, whole_epoch_ticks
from deltarule.plots.display import Display
from deltarule.program import State
from deltarule.training import History
from deltarule.utils.arrays import to_numpy
from deltarule.utils.checks import check_name, is_count, shown

__all__ = [
    "ActivationHistogramDisplay",
    "DropoutMaskDisplay",
    "GradientNormDisplay",
    "HealthDisplay",
    "WeightsDisplay",
]

_QUANTITIES = {
    "gradient_norm": "‖∂C/∂W‖",
    "delta_norm": "‖δ‖",
    "activation_norm": "root mean square of A",
    "weight_norm": "‖W‖",
    "update_ratio": "‖ΔW‖/‖W‖",
    "dead": "share of dead units",
    "saturated": "share of saturated entries",
}

MOST_IMAGES = 25


class WeightsDisplay(Display):
    """The weights into the units of a layer: one picture a unit, or the whole matrix.

    Blue is positive, red negative, white zero.

    Attributes
    ----------
    weights : (d, m) array
        A column for each unit.
    layer : int
    image_shape : (int, int) or None
    """

    def __init__(self, weights: Any, layer: int, image_shape: tuple[int, int] | None) -> None:
        self.weights, self.layer, self.image_shape = weights, layer, image_shape

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        *,
        layer: int = 1,
        image_shape: tuple[int, int] | None = None,
        ax: Any = None,
    ) -> WeightsDisplay:
        """Draw the weights of a fitted estimator.

        Parameters
        ----------
        estimator : MLPClassifier or MLPRegressor
            Fitted.
        layer : int, default=1
            Which layer, counted from 1.
        image_shape : (int, int), optional
            Height and width of an image of the inputs: one picture for each of the first 25
            units. By default the matrix is one picture.
        ax : matplotlib Axes, optional
            The axes to draw on; a new figure by default.
        """
        check_estimator(estimator, "coefs_")
        return cls._from(estimator.coefs_, layer, image_shape, ax)

    @classmethod
    def from_network(
        cls,
        net: Network,
        state: State,
        *,
        layer: int = 1,
        image_shape: tuple[int, int] | None = None,
        ax: Any = None,
    ) -> WeightsDisplay:
        """Draw the weights of a network at a state; the rest is as in ``from_estimator``."""
        check_network(net)
        named = net.parameters(state).items()
        matrices = [to_numpy(view) for name, view in named if name.startswith("W")]
        return cls._from(matrices, layer, image_shape, ax)

    @classmethod
    def _from(cls, matrices: Any, layer: int, image_shape: Any, ax: Any) -> WeightsDisplay:
        if not is_count(layer) or not 1 <= layer <= len(matrices):
            raise SpecError(f"layer must be an integer from 1 to {len(matrices)}; got {layer!r}.")
        weights = np.array(matrices[layer - 1])
        if image_shape is not None:
            image_shape = _checked_shape(image_shape, len(weights), layer)
        return cls(weights, layer, image_shape).plot(ax)

    def _draw(self, ax: Any) -> None:
        picture = self.weights.T if self.image_shape is None else self._images()
        largest = float(np.nanmax(np.abs(picture))) or 1.0
        drawn = ax.imshow(
            picture, cmap="RdBu", vmin=-largest, vmax=largest, interpolation="nearest",
            aspect="auto" if self.image_shape is None else "equal",
        )  # fmt: skip
        self.figure_.colorbar(drawn, ax=ax, label="weight")
        ax.set_title(f"weights of layer {self.layer}")
        if self.image_shape is None:
            ax.set_xlabel("input")
            ax.set_ylabel("unit")
        else:
            ax.set_axis_off()

    def _images(self) -> Any:
        """Return the first units' images in a square, NaN between them."""
        assert self.image_shape is not None
        height, width = self.image_shape
        shown = self.weights.T[:MOST_IMAGES].reshape(-1, height, width)
        side = int(np.ceil(np.sqrt(len(shown))))
        rows = int(np.ceil(len(shown) / side))
        picture = np.full((rows * (height + 1) - 1, side * (width + 1) - 1), np.nan)
        for number, image in enumerate(shown):
            y, x = divmod(number, side)
            top, left = y * (height + 1), x * (width + 1)
            picture[top : top + height, left : left + width] = image
        return picture


class ActivationHistogramDisplay(Display):
    """How the activations of every layer are distributed over rows and units (items H1-H3).

    A layer whose values crowd at the ends of its activation is saturated; one at zero is dead.

    Attributes
    ----------
    activations : list of (n, d_l) arrays
        Of every layer; the outputs are last.
    """

    def __init__(self, activations: list[Any]) -> None:
        self.activations = activations

    @classmethod
    def from_estimator(
        cls, estimator: Any, X: Any, *, ax: Any = None
    ) -> ActivationHistogramDisplay:
        """Draw the activations of a fitted estimator at the rows of X."""
        check_estimator(estimator, "layer_activations")
        return cls(estimator.layer_activations(X)).plot(ax)

    @classmethod
    def from_trace(cls, trace: Trace, *, ax: Any = None) -> ActivationHistogramDisplay:
        """Draw the activations of a trace."""
        check_trace(trace)
        return cls(_numbered(trace, "A")[1:]).plot(ax)

    def _draw(self, ax: Any) -> None:
        values = [np.ravel(a) for a in self.activations]
        violins = ax.violinplot(values, showextrema=False, widths=0.85)
        for body in violins["bodies"]:
            body.set_facecolor(BLUE)
            body.set_alpha(0.55)
        medians = [float(np.median(v)) for v in values]
        ax.plot(range(1, len(values) + 1), medians, "o", color=ORANGE, label="median")
        ax.set_xticks(range(1, len(values) + 1))
        ax.set_xlabel("layer")
        ax.set_ylabel("activation")
        ax.legend(frameon=False)


class GradientNormDisplay(Display):
    """The size of the gradient by layer: root mean squares of ∂C/∂W_l and ∂C/∂Z_l.

    Bars that shrink from right to left are a vanishing gradient, growing ones an exploding one.

    Attributes
    ----------
    gradients, deltas : (L,) arrays
    """

    def __init__(self, gradients: Any, deltas: Any) -> None:
        self.gradients, self.deltas = gradients, deltas

    @classmethod
    def from_estimator(
        cls, estimator: Any, X: Any, y: Any, *, ax: Any = None
    ) -> GradientNormDisplay:
        """Draw the gradients of a fitted estimator on rows."""
        check_estimator(estimator, "trace")
        return cls.from_trace(estimator.trace(X, y, training=True), ax=ax)

    @classmethod
    def from_trace(cls, trace: Trace, *, ax: Any = None) -> GradientNormDisplay:
        """Draw the gradients of a trace with targets."""
        check_trace(trace)
        if "loss" not in trace:
            raise SpecError("trace has no gradients: call trace(state, X, y) with targets.")
        sizes = [[float(np.sqrt(np.mean(np.square(a)))) for a in _numbered(trace, name)]
                 for name in ("dW", "delta")]  # fmt: skip
        return cls(*map(np.array, sizes)).plot(ax)

    def _draw(self, ax: Any) -> None:
        layers = np.arange(1, len(self.gradients) + 1)
        ax.bar(layers - 0.2, self.gradients, 0.38, color=BLUE, label="∂C/∂W")
        ax.bar(layers + 0.2, self.deltas, 0.38, color=ORANGE, label="δ = ∂C/∂Z")
        if min(*self.gradients, *self.deltas) > 0:
            ax.set_yscale("log")
        ax.set_xticks(layers)
        ax.set_xlabel("layer")
        ax.set_ylabel("root mean square")
        ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, frameon=False)


class HealthDisplay(Display):
    """A norm or share of every layer by epoch, from a training that recorded it (items H1-H3).

    Attributes
    ----------
    quantity : str
    values : (epochs, L) array
        NaN where a layer has no such number.
    """

    def __init__(self, quantity: str, values: Any) -> None:
        self.quantity, self.values = quantity, values

    @classmethod
    def from_estimator(
        cls, estimator: Any, *, quantity: str = "gradient_norm", ax: Any = None
    ) -> HealthDisplay:
        """Draw the health of a fitted estimator that was made with ``record_health=True``."""
        check_estimator(estimator, "health_")
        return cls._from(estimator.health_, quantity, ax)

    @classmethod
    def from_history(
        cls, history: Any, *, quantity: str = "gradient_norm", ax: Any = None
    ) -> HealthDisplay:
        """Draw the health of a training with ``record_health=True``.

        Parameters
        ----------
        history : History
            What ``train`` returned.
        quantity : str, default="gradient_norm"
            Or "delta_norm", "activation_norm", "weight_norm", "update_ratio", "dead",
            "saturated".
        ax : matplotlib Axes, optional
            The axes to draw on; a new figure by default.
        """
        if not isinstance(history, History):
            raise SpecError(f"history must be what train returns; got {shown(history)}.")
        return cls._from(history.health, quantity, ax)

    @classmethod
    def _from(cls, health: Any, quantity: str, ax: Any) -> HealthDisplay:
        check_name("quantity", quantity, _QUANTITIES)
        if not health:
            raise SpecError("there is no health to draw: train with record_health=True.")
        rows = [[getattr(layer, quantity) for layer in epoch.layers] for epoch in health]
        values = np.array(rows, dtype=float)
        if np.isnan(values).all():
            raise SpecError(f"no layer has a {quantity}: its activations cannot be {quantity}.")
        return cls(quantity, values).plot(ax)

    def _draw(self, ax: Any) -> None:
        epochs = np.arange(1, len(self.values) + 1)
        shown = [i for i in range(self.values.shape[1]) if not np.isnan(self.values[:, i]).all()]
        for number, i in enumerate(shown):
            shade = BLUE if len(shown) == 1 else _shade(number / (len(shown) - 1))
            style = ("-", "--", ":", "-.")[number % 4]
            ax.plot(epochs, self.values[:, i], color=shade, linestyle=style, label=f"layer {i + 1}")
        if self.quantity not in ("dead", "saturated") and np.nanmin(self.values) > 0:
            ax.set_yscale("log")
        whole_epoch_ticks(ax)
        ax.set_xlabel("epoch")
        ax.set_ylabel(_QUANTITIES[self.quantity])
        ax.legend(frameon=False)


def _shade(place: float) -> Any:
    """Return a colour of a scale that is readable in grey, too."""
    import matplotlib as mpl

    return mpl.colormaps["viridis"](0.6 * place)


class DropoutMaskDisplay(Display):
    """The mask of a dropout layer: which units of which rows are kept (item R3).

    Attributes
    ----------
    mask : (n, d) array of bool
    layer : int
        The layer whose units are dropped; 0 is the inputs.
    """

    def __init__(self, mask: Any, layer: int) -> None:
        self.mask, self.layer = mask, layer

    @classmethod
    def from_trace(
        cls, trace: Trace, *, layer: int | None = None, ax: Any = None
    ) -> DropoutMaskDisplay:
        """Draw a mask of a trace of training; by default the first one."""
        check_trace(trace)
        layers = [int(name.removeprefix("mask")) for name in trace if name.startswith("mask")]
        if not layers:
            raise SpecError("trace has no masks: trace a network with Dropout, with targets.")
        chosen = layers[0] if layer is None else layer
        if not is_count(chosen) or chosen not in layers:
            raise SpecError(
                f"layer must be one of {layers}, which have dropout; got {shown(layer)}."
            )
        return cls(np.asarray(trace[f"mask{chosen}"]) > 0, chosen).plot(ax)

    def _draw(self, ax: Any) -> None:
        ax.imshow(self.mask, cmap="Blues", vmin=0, vmax=1.25, aspect="auto",
                  interpolation="nearest")  # fmt: skip
        ax.set_xlabel("input" if self.layer == 0 else f"unit of layer {self.layer}")
        ax.set_ylabel("row")
        ax.set_title(f"kept: {self.mask.mean():.0%} of {self.mask.size} (blue)")


def _checked_shape(image_shape: Any, n_inputs: int, layer: int) -> tuple[int, int]:
    """Return height and width, or raise ``ShapeError`` unless they are those of the inputs."""
    pair = tuple(image_shape) if isinstance(image_shape, list | tuple) else ()
    if len(pair) != 2 or not all(map(is_count, pair)) or pair[0] * pair[1] != n_inputs:
        raise ShapeError(
            f"image_shape must be (height, width) with {n_inputs} pixels, one for each input of "
            f"layer {layer}; got {shown(image_shape)}."
        )
    return int(pair[0]), int(pair[1])


def _numbered(trace: Trace, name: str) -> list[Any]:
    """Return the arrays of a trace whose names are this one with a number, in order."""
    numbers = sorted(int(key[len(name) :]) for key in trace
                     if key.startswith(name) and key[len(name) :].isdigit())  # fmt: skip
    return [to_numpy(trace[f"{name}{number}"]) for number in numbers]
