"""Class labels as a network's targets: two classes, several, or several labels at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from deltarule.errors import SpecError
from deltarule.estimators.class_labels import plain_labels
from deltarule.estimators.fit_data import take_rows
from deltarule.estimators.target_encoder import TargetEncoder
from deltarule.network.class_weight import class_factors
from deltarule.network.data import check_weight_sum
from deltarule.network.scores import accuracy
from deltarule.program import Block
from deltarule.spec import BinaryCrossEntropy, CategoricalCrossEntropy, Loss
from deltarule.utils.arrays import is_sparse
from deltarule.utils.context import naming

if TYPE_CHECKING:
    from deltarule.onnx.heads import Labels

__all__ = ["ClassTargets"]

Kind: TypeAlias = Literal["binary", "multiclass", "multilabel"]


@dataclass(frozen=True, eq=False)
class ClassTargets(TargetEncoder):
    """Labels, and how they are encoded.

    Attributes
    ----------
    classes : ndarray of shape (n_classes,)
        The labels, in ascending order.
    target_type : str
        scikit-learn's name of the targets: "binary", "multiclass" or "multilabel-indicator".
    sparse : bool
        Whether several labels at once came as a sparse matrix, as predictions then do.
    label_smoothing : float
    class_weight : "balanced", dict, list of dict or None
    """

    classes: Any
    target_type: str
    sparse: bool = False
    label_smoothing: float = 0.0
    class_weight: Any = None

    @classmethod
    def learn(cls, y: Any) -> ClassTargets:
        """Return the encoder of the classes in y."""
        from sklearn.preprocessing import LabelBinarizer

        classes = _plain_classes(y)
        if classes is not None:  # as below, without checks of what is plain
            return cls(classes, "multiclass" if len(classes) > 2 else "binary")
        learned = LabelBinarizer().fit(y)
        return cls(learned.classes_, learned.y_type_, bool(learned.sparse_input_))

    @classmethod
    def of_classes(cls, classes: Any, y: Any) -> ClassTargets:
        """Return the encoder of all classes that a user names, of which y holds a part."""
        from sklearn.utils.multiclass import type_of_target, unique_labels

        _refuse_nan(y, "y")
        _refuse_nan(classes, "classes")
        with naming("classes"):
            labels = unique_labels(classes)
            learned = cls.learn(labels)
        if type_of_target(y).startswith("multilabel"):
            learned = cls.learn(y)
        return cls(labels, learned.target_type, learned.sparse)

    @property
    def kind(self) -> Kind:
        """Kind of the targets: "binary", "multiclass" or "multilabel"."""
        kind: Any = self.target_type
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
        from sklearn.utils.multiclass import unique_labels

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

    def check_same(self, classes: Any) -> None:
        """Refuse other classes than these, in a later call of ``partial_fit``."""
        from sklearn.utils.multiclass import unique_labels

        if not np.array_equal(self.classes, unique_labels(classes)):
            raise ValueError(
                f"`classes={classes!r}` is not the same as on last call to partial_fit, was: "
                f"{self.classes!r}"
            )

    def encode(self, y: Any, *, validated: bool = False, name: str = "y") -> Any:
        """Return indicators (n, k): a column for each class, or a single one for two classes."""
        if not is_sparse(y):
            y = np.asarray(plain_labels(y))
        codes = self._codes(y)
        if codes is None:
            _refuse_nan(y, name)
        if codes is not None:
            if len(self.classes) <= 2:
                return (codes[:, None] == 1).astype(np.float64)
            indicators = np.zeros((len(codes), len(self.classes)))
            indicators[np.arange(len(codes)), codes] = 1.0
            return indicators
        if not is_sparse(y):
            self._check_labels(y, name)
        encoded = self._binarizer().transform(y)
        encoded = encoded.toarray() if is_sparse(encoded) else encoded
        return np.asarray(encoded, dtype=np.float64)

    def _codes(self, y: Any) -> Any:
        """Return the place of each label in ``classes``; None if that needs a closer look."""
        kinds = self.classes.dtype.kind + y.dtype.kind
        plain = kinds in ("UU", "OO") or set(kinds) <= set("biuf")
        if self.kind == "multilabel" or y.ndim != 1 or not plain:
            return None
        if kinds == "OO":
            return _codes_of_texts(self.classes, y)
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
        return self._binarizer().inverse_transform(outputs)

    def _binarizer(self) -> Any:
        """Return scikit-learn's encoder of these labels."""
        from sklearn.preprocessing import LabelBinarizer

        made = LabelBinarizer()
        several = self.kind == "multilabel"
        made.classes_ = np.arange(len(self.classes)) if several else self.classes
        made.y_type_, made.sparse_input_ = self.target_type, self.sparse
        return made

    def probabilities(self, logits: Any) -> Any:
        """Return the probability of each class (n, n_classes) from logits of binary targets."""
        return _sigmoid(self._both(logits))

    def log_probabilities(self, logits: Any) -> Any:
        """Return the logarithms of the probabilities of all classes or labels, from logits."""
        from deltarule.reference.activations import log_softmax
        from deltarule.reference.scalar_functions import softplus

        if self.kind == "binary":
            return 0.0 - softplus(-self._both(logits))
        if self.kind == "multiclass":
            return log_softmax(logits)
        probability = _sigmoid(logits)
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
            pair = targets.argmax(axis=1), outputs.argmax(axis=1)
        else:
            pair = targets > 0.5, outputs > 0.5
        return accuracy(*pair, weight)

    def scores(self, targets: Any, outputs: Any, weight: Any) -> list[float]:
        """Return the accuracies of several outputs (m, n, k) against the same targets."""
        if self.kind != "multiclass" or weight is not None or len(self.classes) == 1:
            return super().scores(targets, outputs, weight)
        right = outputs.argmax(axis=2) == targets.argmax(axis=1)
        shares: list[float] = (np.count_nonzero(right, axis=1) / len(targets)).tolist()
        return shares

    def head(self) -> Labels:
        """Return the end of an ONNX graph that names labels."""
        from deltarule.onnx.heads import Labels

        return Labels(self.classes, self.kind)

    def callback_targets(self, y: Any, targets: Any, rows: Any) -> Any:
        """Return the training rows' labels."""
        return take_rows(y, rows)

    def strata(self, targets: Any) -> Any:
        """Return the class of every row; several labels are not stratified."""
        if self.kind == "multilabel":
            return None
        return self.classes[self.class_numbers(targets)]

    def weigh(self, block: Block) -> Block:
        """Return the block with the weights of its rows' classes multiplied in."""
        if self.class_weight is None:
            return block
        assert block.y is not None
        codes = self.class_numbers(block.y)
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

    def class_numbers(self, targets: Any) -> Any:
        """Return the number of every row's class (n,); for several labels 0 or 1 each (n, k)."""
        if self.kind == "multiclass":
            return np.argmax(targets, axis=1)
        numbers = (targets > 0.5).astype(int)
        return numbers[:, 0] if self.kind == "binary" else numbers


def _plain_classes(y: Any) -> Any:
    """Return the classes of whole numbers or texts, ascending; None for what needs a closer look.

    Labels that are nearly all different need one, too: scikit-learn warns of them.
    """
    if type(y) is not np.ndarray or y.ndim != 1 or len(y) == 0:
        return None
    if y.dtype.kind in "biuU":
        classes = np.unique(y.astype(y.dtype.newbyteorder("="), copy=False))
    elif y.dtype.kind == "O" and set(map(type, y)) == {str}:
        classes = np.array(sorted(set(y)), dtype=object)
    else:
        return None
    return classes if 2 * len(classes) <= len(y) else None


def _codes_of_texts(classes: Any, y: Any) -> Any:
    """Return the place of each text in ``classes``; None if one is unknown or no text."""
    if set(map(type, y)) != {str}:
        return None
    places = {label: place for place, label in enumerate(classes)}
    codes = np.fromiter((places.get(label, -1) for label in y), dtype=np.int64, count=len(y))
    return codes if len(codes) == 0 or codes.min() >= 0 else None


def _refuse_nan(y: Any, name: str) -> None:
    """Refuse labels that are NaN, which scikit-learn casts to integers first."""
    given = getattr(y, "data", y) if is_sparse(y) else y
    if getattr(getattr(given, "dtype", None), "kind", "") == "f" and np.isnan(given).any():
        raise ValueError(f"Input {name} contains NaN.")


def _sigmoid(z: Any) -> Any:
    """σ(z) of item A2 for NumPy's arrays alone: for one row, types would take longer than values.

    SciPy has it, too, but importing it takes longer than a prediction.
    """
    e = np.exp(-np.abs(z))
    return np.where(z >= 0, np.ones_like(e), e) / (1 + e)
