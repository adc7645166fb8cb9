"""Rules of attributes: a table of what fitted objects of scikit-learn hold, and how to compare.

Every rule is one line of a table: by class, the attributes with the values that each may hold, and
their shape. The letter n stands for ``n_features_in_``; another letter for a length that must be
the same everywhere in the object. "?" also allows None, or no such attribute.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np

__all__ = ["ATTRIBUTES", "MAX_DEGREE", "MAX_FEATURES", "holds", "is_count"]

MAX_DEGREE = 20
MAX_FEATURES = 2**24
LARGEST = 1e100
"""The largest finite number: squares, and products with rows, stay far from overflow."""

_KINDS: dict[str, Callable[[Any], Any]] = {
    "finite": lambda a: np.abs(a) <= LARGEST,
    "nonnegative": lambda a: (a >= 0) & (a <= LARGEST),
    "positive": lambda a: (a > 0) & (a <= LARGEST),
}
_Checks: TypeAlias = Mapping[str, str]

_COMPONENTS = {"components_": "finite k,n", "n_components_": "=k?", "mean_": "finite n?"}
_PCA = _COMPONENTS | {
    "explained_variance_": "nonnegative k", "explained_variance_ratio_": "number k",
    "singular_values_": "number k", "noise_variance_": "nonnegative",
}  # fmt: skip
_UNIVARIATE = {"scores_": "number n", "pvalues_": "number n?"}
_SCALED = {"scale_": "positive n?", "n_samples_seen_": "any?"}
_NMF = _COMPONENTS | {
    "components_": "nonnegative k,n",
    "_n_components": "=k",
    "_beta_loss": "finite",
}
_CHOSEN = {"support_": "bool n"}

ATTRIBUTES: dict[str, _Checks] = {
    "StandardScaler": _SCALED | {"mean_": "finite n?", "var_": "nonnegative n?"},
    "MinMaxScaler": {
        "scale_": "finite n", "min_": "finite n", "data_min_": "number n",
        "data_max_": "number n", "data_range_": "number n",
    },
    "MaxAbsScaler": _SCALED | {"max_abs_": "number n"},
    "RobustScaler": _SCALED | {"center_": "finite n?"},
    "QuantileTransformer": {"references_": "finite q", "quantiles_": "number q,n",
                            "n_quantiles_": "=q"},
    "PowerTransformer": {"lambdas_": "number n"},
    "KBinsDiscretizer": {"n_bins_": "counts n"},
    "KNNImputer": {"_fit_X": "number m,n", "_mask_fit_X": "bool m,n", "_valid_mask": "bool n"},
    "SimpleImputer": {"statistics_": "cells n"},
    "MissingIndicator": {"features_": "index f", "_n_features": "=n"},
    "PCA": _PCA,
    "IncrementalPCA": _PCA | {"var_": "number n"},
    "KernelPCA": {
        "X_fit_": "finite m,n", "eigenvalues_": "nonnegative k", "eigenvectors_": "finite m,k",
        "gamma_": "finite?",
    },
    "KernelCenterer": {"K_fit_rows_": "finite n", "K_fit_all_": "finite"},
    "TruncatedSVD": _COMPONENTS,
    "FactorAnalysis": _COMPONENTS | {"noise_variance_": "positive n"},
    "FastICA": _COMPONENTS | {"mixing_": "finite n,k", "whitening_": "finite k,n?"},
    "NMF": _NMF,
    "MiniBatchNMF": _NMF | {
        "_components_numerator": "number k,n", "_components_denominator": "number k,n",
        "_transform_max_iter": "positive", "_rho": "finite", "_gamma": "finite",
    },
    "LatentDirichletAllocation": {
        "components_": "nonnegative k,n", "exp_dirichlet_component_": "nonnegative k,n",
        "doc_topic_prior_": "positive", "topic_word_prior_": "positive",
    },
    "SparsePCA": _COMPONENTS,
    "MiniBatchSparsePCA": _COMPONENTS,
    "DictionaryLearning": _COMPONENTS,
    "MiniBatchDictionaryLearning": _COMPONENTS,
    "SparseCoder": {"dictionary": "finite k,n"},
    "GenericUnivariateSelect": _UNIVARIATE, "SelectFdr": _UNIVARIATE, "SelectFpr": _UNIVARIATE,
    "SelectFwe": _UNIVARIATE, "SelectKBest": _UNIVARIATE, "SelectPercentile": _UNIVARIATE,
    "VarianceThreshold": {"variances_": "number n"},
    "SequentialFeatureSelector": _CHOSEN,
    "RFE": _CHOSEN | {"ranking_": "counts n"}, "RFECV": _CHOSEN | {"ranking_": "counts n"},
    "TfidfTransformer": {"idf_": "finite n?"},
}  # fmt: skip
"""What fitted objects hold; attributes that no prediction reads are not listed."""


def is_count(value: Any) -> bool:
    """Whether a value is a whole number of at least 0 that indexes could be made of."""
    return (
        isinstance(value, int | np.integer)
        and not isinstance(value, bool)
        and bool(0 <= value < 2**62)
    )


def holds(given: Mapping[str, Any], name: str, rule: str, lengths: dict[str, int]) -> bool:
    """Whether an attribute holds what its rule says."""
    if given.get(name) is None:
        return rule.endswith("?")
    value: Any = given[name]
    kind, _, shape = rule.removesuffix("?").partition(" ")
    if kind == "any":
        return True
    if kind.startswith("="):
        return is_count(value) and lengths.setdefault(kind[1:], int(value)) == int(value)
    if isinstance(value, bool | float) or (isinstance(value, int) and abs(value) < 2**62):
        value = np.array(value)
    if type(value) is not np.ndarray and not isinstance(value, np.generic):
        return False
    value = np.asarray(value)
    letters = shape.split(",") if shape else []
    if value.ndim != len(letters) or any(
        lengths.setdefault(letter, length) != length
        for letter, length in zip(letters, value.shape, strict=True)
    ):
        return False
    if kind == "cells":
        return value.dtype.kind in "biufUO"
    if kind == "bool":
        return bool(value.dtype == np.bool_)
    if kind == "index":
        inside = value.dtype.kind in "iu" and bool(((value >= 0) & (value < lengths["n"])).all())
        return inside and len(np.unique(value)) == len(value)
    if kind == "counts":
        return value.dtype.kind in "iu" and bool((value >= 1).all())
    if value.dtype not in (np.float32, np.float64) and letters:
        return False
    if value.dtype.kind not in "iuf":
        return False
    return kind == "number" or bool(np.all(_KINDS[kind](value)))
