"""The classes, functions and types that a pipeline in a model file may contain.

The names are looked up in scikit-learn here, and never in a file; the names in a file are compared
with these. The list excludes classes that hold foreign objects (`IterativeImputer` holds any
estimator, `SplineTransformer` SciPy's splines), `PatchExtractor`, whose output is no table, and all
functions except the scores of feature selection.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module
from typing import Any

import numpy as np

__all__ = ["Placeholder", "classes", "functions", "qualified", "types"]

_CLASSES = {
    "sklearn.compose": ("ColumnTransformer", "TransformedTargetRegressor", "make_column_selector"),
    "sklearn.decomposition": (
        *("PCA", "IncrementalPCA", "KernelPCA", "SparsePCA", "MiniBatchSparsePCA", "TruncatedSVD"),
        *("FactorAnalysis", "FastICA", "NMF", "MiniBatchNMF", "LatentDirichletAllocation"),
        *("DictionaryLearning", "MiniBatchDictionaryLearning", "SparseCoder"),
    ),
    "sklearn.feature_extraction": ("DictVectorizer", "FeatureHasher"),
    "sklearn.feature_extraction.text": (
        *("CountVectorizer", "HashingVectorizer", "TfidfTransformer", "TfidfVectorizer"),
    ),
    "sklearn.feature_selection": (
        *("GenericUnivariateSelect", "SelectFdr", "SelectFpr", "SelectFwe", "SelectKBest"),
        *("SelectPercentile", "SelectFromModel", "SequentialFeatureSelector", "RFE", "RFECV"),
        "VarianceThreshold",
    ),
    "sklearn.impute": ("KNNImputer", "MissingIndicator", "SimpleImputer"),
    "sklearn.pipeline": ("FeatureUnion", "Pipeline"),
    "sklearn.preprocessing": (
        *("Binarizer", "FunctionTransformer", "KBinsDiscretizer", "KernelCenterer"),
        *("LabelBinarizer", "LabelEncoder", "MaxAbsScaler", "MinMaxScaler"),
        *("MultiLabelBinarizer", "Normalizer", "OneHotEncoder", "OrdinalEncoder"),
        *("PolynomialFeatures", "PowerTransformer", "QuantileTransformer", "RobustScaler"),
        *("StandardScaler", "TargetEncoder"),
    ),
}
_FUNCTIONS = {
    "sklearn.feature_selection": (
        *("chi2", "f_classif", "f_regression", "r_regression"),
        *("mutual_info_classif", "mutual_info_regression"),
    ),
}
_TYPES = (
    *(bool, int, float, str, object, np.number, np.integer, np.floating),
    *(np.bool_, np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint32, np.uint64),
    *(np.float16, np.float32, np.float64, np.str_, np.intc, np.longlong, np.ulonglong),
)


class Placeholder:
    """The placeholder of deltarule's estimator number ``number`` in a saved pipeline."""

    def __init__(self, number: int) -> None:
        self.number = number


def qualified(thing: Any) -> str:
    """Return the qualified name of a class or function: its module, a dot, and its own name."""
    return f"{thing.__module__}.{thing.__name__}"


@cache
def classes() -> dict[str, type[Any]]:
    """Return the classes whose objects a pipeline may contain, by qualified name."""
    return {qualified(found): found for found in (*_look_up(_CLASSES), Placeholder)}


@cache
def functions() -> dict[str, Any]:
    """Return the functions that a pipeline may contain, by qualified name."""
    return {qualified(found): found for found in _look_up(_FUNCTIONS)}


@cache
def types() -> dict[str, type[Any]]:
    """Return the types that may be values, such as an encoder's ``dtype``, by qualified name."""
    return {qualified(found): found for found in _TYPES}


def _look_up(table: Mapping[str, tuple[str, ...]]) -> Iterator[Any]:
    for package, names in table.items():
        module = import_module(package)
        yield from (getattr(module, name) for name in names if hasattr(module, name))
