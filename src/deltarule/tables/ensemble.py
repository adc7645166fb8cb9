"""Networks of one table whose predictions are averaged: one network for each fold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from deltarule.errors import ModelFileError
from deltarule.estimators.loading import RecordedEstimator
from deltarule.tables.record import Strict, validated

__all__ = ["Ensemble", "best_temperature", "tempered"]

Matrix = NDArray[np.float64]

TEMPERATURES = (0.5, 4.0)
"""The range of temperatures: rows that are all predicted right would ask for 0."""


class _Record(Strict):
    """An ensemble in a file, but for its arrays."""

    temperature: Annotated[float, Field(gt=0, lt=1e6)]
    out_of_fold: float | None
    networks: Annotated[list[dict[str, Any]], Field(min_length=2, max_length=1000)]


@dataclass(frozen=True)
class Ensemble:
    """Networks with the same inputs and outputs, as one that predicts their average.

    Attributes
    ----------
    members : tuple of RecordedEstimator
        The networks.
    temperature : float
        T: the averaged probabilities p become p^(1/T), divided by their sum; 1 in regression.
    out_of_fold : float or None
        Accuracy or R² of each network on the fold that it left out, over all rows; None if the
        target is the same in all of them.
    """

    members: tuple[RecordedEstimator, ...]
    temperature: float
    out_of_fold: float | None

    def predict(self, X: Matrix) -> Matrix:
        """Return the mean of the networks' predictions of numbers for checked rows (n, d)."""
        return self._mean("predict", X)

    def predict_proba(self, X: Matrix) -> Matrix:
        """Return probabilities (n, k) for checked rows (n, d): the networks' mean, tempered."""
        return tempered(self._mean("predict_proba", X), self.temperature)

    def predict_log_proba(self, X: Matrix) -> Matrix:
        """Return the logarithms of ``predict_proba``."""
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(self.predict_proba(X)))

    def _mean(self, method: str, X: Matrix) -> Matrix:
        X = np.asarray(X, dtype=self.members[0].network_.dtype)  # once for all
        total = np.zeros(())
        for member in self.members:
            total = total + np.asarray(getattr(member, method)(X), dtype=np.float64)
        return total / len(self.members)

    def to_record(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return (record, tensors); network i's arrays are named ``i.W1`` and so on."""
        networks: list[dict[str, Any]] = []
        tensors: dict[str, Any] = {}
        for number, member in enumerate(self.members):
            record, arrays = member.estimator.to_record()
            networks.append(record)
            tensors |= {f"{number}.{name}": array for name, array in arrays.items()}
        record = {"temperature": self.temperature, "out_of_fold": self.out_of_fold}
        return record | {"networks": networks}, tensors

    @classmethod
    def from_record(cls, record: Any, tensors: dict[str, Any]) -> Ensemble:
        """Return the ensemble that ``to_record`` recorded.

        Raises
        ------
        ModelFileError
            If the record does not fit the tensors, or is not one of ours.
        """
        read: _Record = validated(_Record, record)
        arrays: list[dict[str, Any]] = [{} for _ in read.networks]
        for name, array in tensors.items():
            number, dot, own = name.partition(".")
            if not (dot and number.isdecimal() and int(number) < len(arrays)):
                raise ModelFileError("its tensors are not those of its networks")
            arrays[int(number)][own] = array
        members = map(RecordedEstimator, read.networks, arrays)
        return cls(tuple(members), read.temperature, read.out_of_fold)


def tempered(probabilities: Matrix, temperature: float) -> Matrix:
    """Return p^(1/T) divided by its sum, row by row (Guo et al. 2017, for averages)."""
    with np.errstate(divide="ignore"):
        logits = np.log(probabilities) / temperature
    powers = np.exp(logits - logits.max(axis=1, keepdims=True, initial=-np.inf))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def best_temperature(
    probabilities: Matrix, codes: NDArray[Any], weight: Matrix | None = None
) -> float:
    """Return the temperature of least log loss for probabilities (n, k) of known classes."""
    from scipy.optimize import minimize_scalar

    logs = np.log(np.maximum(probabilities, 1e-12))
    true = logs[np.arange(len(codes)), codes]

    def loss(exponent: float) -> float:
        scaled = logs * np.exp(-exponent)
        top = scaled.max(axis=1)
        norm = top + np.log(np.exp(scaled - top[:, None]).sum(axis=1))
        return float(np.average(norm - true * np.exp(-exponent), weights=weight))

    found = minimize_scalar(loss, bounds=np.log(TEMPERATURES), method="bounded")
    return float(np.exp(found.x))
