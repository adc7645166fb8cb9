"""Callbacks for scikit-learn before 1.9, which has none: the part that fits here need."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager
from copy import copy
from inspect import signature
from typing import Any

__all__ = ["CallbackSupportMixin", "torn_down"]

_HOOKS = ("setup", "on_fit_task_begin", "on_fit_task_end", "teardown")


class Context:
    """A task of a fit: the fit itself, or one of its epochs, whose ``parent`` is the fit."""

    def __init__(self, callbacks: list[Any], task_name: str, parent: Context | None) -> None:
        self.callbacks, self.task_name, self.parent = callbacks, task_name, parent

    def subcontext(self, task_name: str) -> Context:
        """Return the context of a task inside this one."""
        return Context(self.callbacks, task_name, self)

    def call_on_fit_task_begin(self, **arguments: Any) -> None:
        """Call every callback's ``on_fit_task_begin`` with what it accepts."""
        for callback in self.callbacks:
            _call(callback.on_fit_task_begin, self, arguments)

    def call_on_fit_task_end(self, **arguments: Any) -> bool:
        """Call every callback's ``on_fit_task_end``; return whether one asks to stop."""
        answers = [_call(c.on_fit_task_end, self, arguments) for c in self.callbacks]
        return any(answers)  # after every one has been called


class CallbackSupportMixin:
    """``set_callbacks`` for an estimator, as in scikit-learn 1.9."""

    _skl_callbacks: list[Any]

    def set_callbacks(self, *callbacks: Any) -> Any:
        """Set the callbacks of the fits to come; without arguments, remove them.

        Parameters
        ----------
        *callbacks : objects
            With ``setup``, ``on_fit_task_begin``, ``on_fit_task_end`` and ``teardown``.

        Returns
        -------
        self : estimator

        Raises
        ------
        TypeError
            If one of them lacks a method.
        """
        for callback in callbacks:
            if isinstance(callback, type) or not all(hasattr(callback, h) for h in _HOOKS):
                raise TypeError("callbacks must be instances following the FitCallback protocol.")
        if callbacks:
            self._skl_callbacks = list(callbacks)
        else:
            self.__dict__.pop("_skl_callbacks", None)
        return self

    def _init_callback_context(self, max_subtasks: int) -> Context:
        callbacks = self.__dict__.get("_skl_callbacks", [])
        context = self.__dict__["_callback_fit_ctx"] = Context(callbacks, "fit", None)
        for callback in callbacks:
            callback.setup(self, context)
        return context


@contextmanager
def torn_down(estimator: Any) -> Any:
    """Tear every callback down when a fit ends, in whatever way."""
    outer = estimator.__dict__.get("_callback_fit_ctx")  # of a fit in another thread
    try:
        yield
    finally:
        context = estimator.__dict__.get("_callback_fit_ctx")
        if context is outer:
            context = None
        else:
            estimator.__dict__.pop("_callback_fit_ctx", None)
        for callback in () if context is None else context.callbacks:
            callback.teardown(estimator, context)


def _call(hook: Callable[..., Any], context: Context, arguments: dict[str, Any]) -> bool:
    """Call a hook with the estimator, the context, and those of the arguments that it accepts.

    A hook that accepts ``fitted_estimator`` gets a copy as if the fit had ended here.
    """
    estimator, accepted = arguments["estimator"], signature(hook).parameters
    given = {name: arguments[name] for name in ("X", "y", "metadata") if name in accepted}
    if "fitted_estimator" in accepted:
        attributes = arguments.get("reconstruction_attributes")
        given["fitted_estimator"] = None if attributes is None else copy(estimator)
        for name, value in ({} if attributes is None else attributes()).items():
            setattr(given["fitted_estimator"], name, value)
    return bool(hook(estimator, context, **given))
