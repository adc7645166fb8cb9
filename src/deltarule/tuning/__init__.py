"""Hyperparameter search: distributions to draw from, and choices tried on other data."""

from deltarule.tuning.distributions import LogMomentum, LogUniform
from deltarule.tuning.retuning import Retuning, retune
from deltarule.tuning.strength import StrengthChoice, choose_strength

__all__ = [
    "LogMomentum",
    "LogUniform",
    "Retuning",
    "StrengthChoice",
    "choose_strength",
    "retune",
]
