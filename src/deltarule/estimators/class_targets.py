"""Class labels as a network's targets: two classes, several, or several labels at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from scipy.sparse import issparse
from scipy.special import expit
from sklearn.metrics import accuracy_score
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils.multiclass import type_of_target, unique_labels

from deltarule.errors import SpecError
from deltarule.estimators.class_labels import plain_labels
from deltarule.estimators.fit_data import take_rows
from deltarule.estimators.target_encoder import TargetEncoder
from deltarule.network.class_weight import class_factors
from deltarule.network.data import check_weight_sum
from deltarule.onnx.heads import Labels
from deltarule.program import Block
from deltarule.reference.activations import log_softmax
from deltarule.reference.scalar_functions import softplus
from deltarule.spec import BinaryCrossEntropy, CategoricalCrossEntropy, Loss
from deltarule.utils.context import naming

__all__ = ["ClassTargets"]

Kind: TypeAlias = Literal["binary", "multiclass", "multilabel"]


@dataclass(frozen=True, eq=False)
class ClassTargets(TargetEncoder):
    """Labels, and how they are encoded.

    Attributes
    ----------
    classes : ndarray of shape (n_classes,)
        The labels, in ascending order.
    binarizer : LabelBinarizer
        Fitted to the labels; it knows whether targets are binary, multiclass or multilabel.
    label_smoothing : float
    class_weight : "balanced", dict, list of dict or None
    """

    classes: Any
    binarizer: Any
    label_smoothing: float = 0.0
    class_weight: Any = None

    @classmethod
    def learn(cls, y: Any) -> ClassTargets:
        """Return the encoder of the classes in y."""
        binarizer = LabelBinarizer().fit(y)
        return cls(binarizer.classes_, binarizer)

    @classmethod
    def of_classes(cls, classes: Any, y: Any) -> ClassTargets:
        """Return the encoder of all classes that a user names, of which y holds a part."""
        _refuse_nan(y, "y")
        _refuse_nan(classes, "classes")
        with naming("classes"):
            labels = unique_labels(classes)
            of_labels = LabelBinarizer().fit(labels)
        multilabel = type_of_target(y).startswith("multilabel")
        return cls(labels, LabelBinarizer().fit(y) if multilabel else of_labels)

    @property
    def kind(self) -> Kind:
        """Kind of the targets: "binary", "multiclass" or "multilabel"."""
        kind: Any = self.binarizer.y_type_
        return "multilabel" if kind.startswith("multilabel") else kind

    def output(self) -> tuple[str, Loss]:
        """Return softmax for several classes, and else a sigmoid, with their cross-entropies."""
        s = self.label_smoothing
        if self.kind == "multiclass":
            return "softmax", CategoricalCrossEntropy(s) if s else "categorical_cross_entropy"
        return "sigmoid", BinaryCrossEntropy(s) if s else "binary_cross_entropy"

    def check_known(self, y: Any, *, same: bool) -> None:
        """Refuse validated targets with unknown classes; with ``same`` also those that lack one."""
        if not same and self._codes(y) is not None:
            return
        found = unique_labels(y)
        if same and set(found) != set(self.classes):
            raise ValueError(
                "warm_start can only be used where `y` has the same classes as in the previous "
                f"call to fit. Previously got {self.classes}, `y` has {found}"
            )
        if len(np.setdiff1d(found, self.classes, assume_unique=True)):
            raise ValueError(
                f"`y` has classes not in `self.classes_`. `self.classes_` has {self.classes}. "
                f"'y' has {found}."
            )

    def encode(self, y: Any, *, validated: bool = False, name: str = "y") -> Any:
        """Return indicators (n, k): a column for each class, or a single one for two classes."""
        if not issparse(y):
            y = np.asarray(plain_labels(y))
        codes = self._codes(y)
        if codes is None:
            _refuse_nan(y, name)
        if codes is not None:
            columns = np.arange(len(self.classes)) if len(self.classes) > 2 else 1
            return (codes[:, None] == columns).astype(np.float64)
        if not issparse(y):
            self._check_labels(y, name)
        encoded = self.binarizer.transform(y)
        encoded = encoded.toarray() if issparse(encoded) else encoded
        return np.asarray(encoded, dtype=np.float64)

    def _codes(self, y: Any) -> Any:
        """Return the place of each label in ``classes``; None if that needs a closer look."""
        kinds = self.classes.dtype.kind + y.dtype.kind
        plain = kinds == "UU" or set(kinds) <= set("biuf")
        if self.kind == "multilabel" or y.ndim != 1 or not plain:
            return None
        codes = np.searchsorted(self.classes, y)
        codes[codes == len(self.classes)] = 0
        return codes if (self.classes[codes] == y).all() else None

    def _check_labels(self, y: Any, name: str) -> None:
        """Refuse unknown labels, which the binarizer would silently encode as no class at all."""
        if y.ndim != 1 or self.kind == "multilabel":
            return
        unknown = np.setdiff1d(np.unique(y), self.classes)
        if len(unknown):
            raise ValueError(
                f"{name} contains classes that fit has not seen: {unknown[:5]}; known are "
                f"{self.classes}."
            )

    def decode(self, outputs: Any) -> Any:
        """Return the label of every row; at a probability of exactly 0.5 the first of two."""
        kind = self.kind
        if kind == "binary":
            second = (outputs[:, 0] > 0.5) & (len(self.classes) > 1)
            return self.classes[second.astype(int)]
        if kind == "multiclass":
            return self.classes[np.argmax(outputs, axis=1)]
        return self.binarizer.inverse_transform(outputs)

    def probabilities(self, logits: Any) -> Any:
        """Return the probability of each class (n, n_classes) from logits of binary targets."""
        return expit(self._both(logits))

    def log_probabilities(self, logits: Any) -> Any:
        """Return the logarithms of the probabilities of all classes or labels, from logits."""
        if self.kind == "binary":
            return 0.0 - softplus(-self._both(logits))
        if self.kind == "multiclass":
            return log_softmax(logits)
        probability = expit(logits)
        likely = probability > 0.5  # rounded, so that labels tie where their probabilities tie
        return np.where(likely, np.log(np.where(likely, probability, 1.0)), -softplus(-logits))

    def _both(self, logits: Any) -> Any:
        """Return the logits (n, 2) of two classes; a single class is certain, (n, 1)."""
        if len(self.classes) == 1:
            return np.full_like(logits, np.inf)
        return np.concatenate([-logits, logits], axis=1)

    def score(self, targets: Any, outputs: Any, weight: Any) -> float:
        """Return the accuracy; of several labels, all of a row must be right."""
        if len(self.classes) == 1:  # the only one, whatever the output
            return 1.0
        if self.kind == "multiclass":
            pair = np.argmax(targets, axis=1), np.argmax(outputs, axis=1)
        else:
            pair = targets > 0.5, outputs > 0.5
        return float(accuracy_score(*pair, sample_weight=weight))

    def head(self) -> Labels:
        """Return the end of an ONNX graph that names labels."""
        return Labels(self.classes, self.kind)

    def callback_targets(self, y: Any, targets: Any, rows: Any) -> Any:
        """Return the training rows' labels."""
        return take_rows(y, rows)

    def strata(self, targets: Any) -> Any:
        """Return the class of every row; several labels are not stratified."""
        if self.kind == "multilabel":
            return None
        return self.classes[self._class_numbers(targets)]

    def weigh(self, block: Block) -> Block:
        """Return the block with the weights of its rows' classes multiplied in."""
        if self.class_weight is None:
            return block
        assert block.y is not None
        codes = self._class_numbers(block.y)
        factors = class_factors(self.class_weight, self.classes, codes, block.weight)
        with np.errstate(over="ignore"):
            weight = factors if block.weight is None else factors * block.weight
        if not weight.any():
            raise SpecError(
                f"class_weight={self.class_weight!r} leaves no row with a weight above 0. Give a "
                "class that y has some weight."
            )
        with np.errstate(over="ignore"):  # reported by the check of the sum
            weight = weight.astype(block.y.dtype)
        given = f"class_weight={self.class_weight!r}"
        check_weight_sum(given if block.weight is None else f"{given} times sample_weight", weight)
        return block._replace(weight=weight)

    def _class_numbers(self, targets: Any) -> Any:
        """Return the number of every row's class (n,); for several labels 0 or 1 each (n, k)."""
        if self.kind == "multiclass":
            return np.argmax(targets, axis=1)
        numbers = (targets > 0.5).astype(int)
        return numbers[:, 0] if self.kind == "binary" else numbers


def _refuse_nan(y: Any, name: str) -> None:
    """Refuse labels that are NaN, which scikit-learn casts to integers first."""
    given = getattr(y, "data", y) if issparse(y) else y
    if getattr(getattr(given, "dtype", None), "kind", "") == "f" and np.isnan(given).any():
        raise ValueError(f"Input {name} contains NaN.")
