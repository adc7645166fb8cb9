"""The public attributes of a fitted estimator, read from its fitted model."""

from __future__ import annotations

from typing import Any

from deltarule.estimators.fitted_model import FittedModel
from deltarule.estimators.parameter_views import ParameterList, parameter_list
from deltarule.estimators.standardization import Scales
from deltarule.network import Network
from deltarule.program import State
from deltarule.training.curve import Curve, Records

__all__ = ["FittedAttributes"]


class _HistoryAttribute:
    """An attribute ``name_`` that is the field ``name`` of the fitted model's history."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name, self._field = name, name.removesuffix("_")

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        """Return the field; a curve as a list, which a later read extends."""
        if instance is None:
            return self
        value = getattr(instance._fitted(self._name).history, self._field)
        return value.as_list() if isinstance(value, Curve | Records) else value

    def __set__(self, instance: Any, value: Any) -> None:
        """Set the field, as scikit-learn's plain attributes can be set."""
        if isinstance(value, list):
            value = Records(value) if self._field == "health" else Curve(value)
        setattr(instance._fitted(self._name).history, self._field, value)


class FittedAttributes:
    """An object with a fitted model, whose parts are its attributes; they are missing before it."""

    _model: FittedModel

    n_iter_ = _HistoryAttribute()
    t_ = _HistoryAttribute()
    loss_curve_ = _HistoryAttribute()
    best_loss_ = _HistoryAttribute()
    validation_scores_ = _HistoryAttribute()
    validation_loss_curve_ = _HistoryAttribute()
    best_validation_score_ = _HistoryAttribute()
    health_ = _HistoryAttribute()

    def _fitted(self, name: str) -> FittedModel:
        """Return the fitted model; before a fit, say that the attribute is missing."""
        if "_model" not in vars(self):
            raise self._missing(name)
        return self._model

    def _missing(self, name: str) -> AttributeError:
        return AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    @property
    def loss_(self) -> float:
        """The newest entry of ``loss_curve_``; with a minimiser the loss at the end."""
        loss = self._fitted("loss_").history.loss
        if loss is None:
            raise self._missing("loss_")
        return loss

    @property
    def network_(self) -> Network:
        """The fitted network: layers, loss, penalties, constraints."""
        return self._fitted("network_").network

    @property
    def state_(self) -> State:
        """The state of ``network_``: θ, batch norm's statistics, the optimiser's memory; live."""
        return self._fitted("state_").state

    @property
    def scales_(self) -> Scales | None:
        """Means and deviations of ``standardize=True``."""
        return self._fitted("scales_").scales

    @property
    def n_outputs_(self) -> int:
        """Number of output units."""
        return self._fitted("n_outputs_").n_outputs

    @property
    def n_layers_(self) -> int:
        """Number of layers, with input and output."""
        return len(self._fitted("n_layers_").widths)

    @property
    def out_activation_(self) -> str:
        """The output layer's activation, by scikit-learn's name."""
        name = self._fitted("out_activation_").network.output.activation_name
        return "logistic" if name == "sigmoid" else name

    @property
    def coefs_(self) -> ParameterList:
        """Weight matrices (d_{l-1}, d_l), a list of live views into θ."""
        return self._parameters("coefs_", "W")

    @coefs_.setter
    def coefs_(self, values: Any) -> None:
        self._fitted("coefs_").own_arrays()
        self.coefs_.assign(values)

    @property
    def intercepts_(self) -> ParameterList:
        """Bias vectors (d_l,), or β of a normalised layer: a list of live views into θ."""
        return self._parameters("intercepts_", "b", "beta")

    @intercepts_.setter
    def intercepts_(self, values: Any) -> None:
        self._fitted("intercepts_").own_arrays()
        self.intercepts_.assign(values)

    @property
    def batch_norm_scale_(self) -> ParameterList:
        """γ (d_l,) of every hidden layer under batch norm: a list of live views into θ."""
        return self._parameters("batch_norm_scale_", "gamma")

    @batch_norm_scale_.setter
    def batch_norm_scale_(self, values: Any) -> None:
        self._fitted("batch_norm_scale_").own_arrays()
        self.batch_norm_scale_.assign(values)

    def _parameters(self, name: str, *kinds: str) -> ParameterList:
        model = self._fitted(name)
        found = parameter_list(model.network, model.state, *kinds)
        if not found:
            raise self._missing(name)
        return found

    def _set_features(self, model: FittedModel) -> None:
        """Set the attributes that scikit-learn itself sets when it validates X."""
        vars(self).update(model.features())
