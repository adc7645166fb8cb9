"""Class labels as targets of a network, and its outputs as class labels."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.sparse import issparse
from sklearn.metrics import accuracy_score
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils import column_or_1d
from sklearn.utils.multiclass import unique_labels
from sklearn.utils.validation import validate_data

from deltarule.errors import SpecError
from deltarule.estimators.base import BaseMLP
from deltarule.estimators.fit_data import rows_of
from deltarule.estimators.row_weights import class_factors
from deltarule.onnx.heads import Labels
from deltarule.parts import BinaryCrossEntropy, CategoricalCrossEntropy, Loss
from deltarule.program import Block

__all__ = ["LabelMLP"]


class LabelMLP(BaseMLP):
    """A network for labels: two classes, several, or several labels at once."""

    classes_: Any
    _label_binarizer: Any

    def _check_targets(self, X: Any, y: Any, *, incremental: bool, reset: bool) -> tuple[Any, Any]:
        X, y = validate_data(
            self,
            X,
            y,
            accept_sparse=["csr", "csc"],
            multi_output=True,
            dtype=self._types(),
            reset=reset,
        )
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        if not incremental and (reset or not hasattr(self, "classes_")):
            self._learn_classes(y)
        elif self.warm_start or self._codes(y) is None:
            self._check_known_classes(y)
        return X, self._encode_targets(y)

    def _learn_classes(self, y: Any) -> None:
        self._label_binarizer = LabelBinarizer().fit(y)
        self.classes_ = self._label_binarizer.classes_

    def _check_known_classes(self, y: Any) -> None:
        classes = unique_labels(y)
        if self.warm_start and set(classes) != set(self.classes_):
            raise ValueError(
                "warm_start can only be used where `y` has the same classes as in the previous "
                f"call to fit. Previously got {self.classes_}, `y` has {classes}"
            )
        if len(np.setdiff1d(classes, self.classes_, assume_unique=True)):
            raise ValueError(
                f"`y` has classes not in `self.classes_`. `self.classes_` has {self.classes_}. "
                f"'y' has {classes}."
            )

    def _encode_targets(self, y: Any) -> Any:
        if not issparse(y):
            y = np.asarray(y)
        dtype = self._state.theta.dtype if hasattr(self, "_state") else np.float64
        codes = self._codes(y)
        if codes is not None:
            columns = np.arange(len(self.classes_)) if len(self.classes_) > 2 else 1
            return (codes[:, None] == columns).astype(dtype)
        if not issparse(y):
            self._check_known_labels(y)
        encoded = self._label_binarizer.transform(y)
        encoded = encoded.toarray() if issparse(encoded) else encoded
        return np.asarray(encoded, dtype=dtype)

    def _codes(self, y: Any) -> Any:
        """Return the place of each label in ``classes_``; None if y needs a closer look."""
        kinds = self.classes_.dtype.kind + y.dtype.kind
        several = self._label_binarizer.y_type_.startswith("multilabel")
        if several or y.ndim != 1 or not (kinds == "UU" or set(kinds) <= set("biuf")):
            return None
        codes = np.searchsorted(self.classes_, y)
        codes[codes == len(self.classes_)] = 0
        return codes if (self.classes_[codes] == y).all() else None

    def _check_known_labels(self, y: Any) -> None:
        """Refuse labels that would silently be encoded as no class at all."""
        if y.ndim != 1 or self._label_binarizer.y_type_.startswith("multilabel"):
            return
        unknown = np.setdiff1d(np.unique(y), self.classes_)
        if len(unknown):
            raise ValueError(
                f"y contains classes that fit has not seen: {unknown[:5]}; known are "
                f"{self.classes_}."
            )

    def _output(self) -> tuple[str, Loss]:
        s = float(self.label_smoothing)
        if self._label_binarizer.y_type_ == "multiclass":
            return "softmax", CategoricalCrossEntropy(s) if s else "categorical_cross_entropy"
        return "sigmoid", BinaryCrossEntropy(s) if s else "binary_cross_entropy"

    def _shown_targets(self, y: Any, targets: Any, kept: Any) -> Any:
        return rows_of(y, kept)

    def _weigh_classes(self, block: Block) -> Block:
        if self.class_weight is None:
            return block
        assert block.y is not None
        kind = self._label_binarizer.y_type_
        if kind == "multiclass":
            codes = np.argmax(block.y, axis=1)
        else:
            codes = (block.y > 0.5).astype(int)
        codes = codes[:, 0] if kind == "binary" else codes
        factors = class_factors(self.class_weight, self.classes_, codes, block.weight)
        weight = factors if block.weight is None else factors * block.weight
        if not weight.any():
            raise SpecError(
                f"class_weight={self.class_weight!r} leaves no row with a weight above 0. Give a "
                "class that y has some weight."
            )
        return block._replace(weight=weight.astype(block.y.dtype))

    def _decode(self, outputs: Any) -> Any:
        if self._label_binarizer.y_type_ == "binary":
            second = (outputs[:, 0] > 0.5) & (len(self.classes_) > 1)
            return self.classes_[second.astype(int)]
        if self._label_binarizer.y_type_ == "multiclass":
            return self.classes_[np.argmax(outputs, axis=1)]
        return self._label_binarizer.inverse_transform(outputs)

    def _head(self) -> Labels:
        kind = self._label_binarizer.y_type_
        return Labels(self.classes_, "multilabel" if kind.startswith("multilabel") else kind)

    def _score_targets(self, targets: Any, outputs: Any, weight: Any) -> float:
        if self.out_activation_ == "softmax":
            pair = np.argmax(targets, axis=1), np.argmax(outputs, axis=1)
        else:
            pair = targets > 0.5, outputs > 0.5
        return float(accuracy_score(*pair, sample_weight=weight))

    def _strata(self, targets: Any) -> Any:
        kind = self._label_binarizer.y_type_
        if kind.startswith("multilabel"):
            return None
        number = np.argmax(targets, axis=1) if kind == "multiclass" else targets[:, 0].astype(int)
        return self.classes_[number]
