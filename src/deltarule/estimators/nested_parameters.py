"""Parameters of parameters: ``solver__learning_rate`` for searches over an optimiser's values"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import fields, is_dataclass, replace
from typing import Any, Self

from deltarule.errors import SpecError

__all__ = ["NestedParameters"]


class NestedParameters:
    """Mixin for a scikit-learn estimator that has frozen descriptions among its arguments.

    ``SGD(0.1)`` as ``solver`` adds the parameter ``solver__learning_rate``. Setting it puts a
    changed copy in place, since other estimators may hold the same description.
    """

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the arguments, and with ``deep`` also the constants of descriptions among them.

        Parameters
        ----------
        deep : bool, default=True
            Whether to add names such as ``solver__learning_rate``.

        Returns
        -------
        params : dict of str to object
            Values by name.
        """
        found: dict[str, Any] = super().get_params(deep=deep)  # type: ignore[misc]
        if deep:
            for name, value in list(found.items()):
                found |= {f"{name}__{k}": v for k, v in _constants(value).items()}
        return found

    def set_params(self, **params: Any) -> Self:
        """Set arguments, or constants of the descriptions among them.

        Parameters
        ----------
        **params : dict
            Values by name; ``solver__learning_rate=0.1`` sets that of the optimiser ``solver``.

        Returns
        -------
        self : object
            The estimator.
        """
        plain: dict[str, Any] = {}
        nested: dict[str, dict[str, Any]] = defaultdict(dict)
        own = super().get_params(deep=False)  # type: ignore[misc]
        for name, value in params.items():
            outer, dots, inner = name.partition("__")
            value_of_outer = params.get(outer, own.get(outer))
            if dots and outer in own and not hasattr(value_of_outer, "set_params"):
                nested[outer][inner] = value
            else:
                plain[name] = value
        changed = {
            outer: _changed(outer, params.get(outer, own[outer]), inner)
            for outer, inner in nested.items()
        }
        super().set_params(**plain | changed)  # type: ignore[misc]
        return self


def _constants(value: Any) -> dict[str, Any]:
    """Return the constants of a description by name, also those of descriptions in it."""
    if not is_dataclass(value) or isinstance(value, type):
        return {}
    found = {f.name: getattr(value, f.name) for f in fields(value) if f.init}
    for name, item in list(found.items()):
        found |= {f"{name}__{k}": v for k, v in _constants(item).items()}
    return found


def _changed(name: str, value: Any, constants: dict[str, Any]) -> Any:
    """Return a copy of a description with other constants."""
    known = sorted(k for k in _constants(value) if "__" not in k)
    if not known:
        raise SpecError(
            f"{name}={value!r} has no constants of its own, so {name}__{next(iter(constants))} "
            f"cannot be set. Give {name} an object such as SGD(0.1) or Cosine() first, or search "
            "over learning_rate_init, momentum, beta_1 …"
        )
    plain: dict[str, Any] = {}
    nested: dict[str, dict[str, Any]] = defaultdict(dict)
    for key, given in constants.items():
        outer, dots, inner = key.partition("__")
        if outer not in known:
            raise SpecError(
                f"{name}__{key} is no parameter: {name}={value!r} has {', '.join(known)}."
            )
        if dots:
            nested[outer][inner] = given
        else:
            plain[outer] = given
    for outer, constants_of in nested.items():
        base = plain.get(outer, getattr(value, outer))
        plain[outer] = _changed(f"{name}__{outer}", base, constants_of)
    return replace(value, **plain)
