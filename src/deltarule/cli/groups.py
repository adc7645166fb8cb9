"""Options in groups: a command takes dataclasses, and `--help` shows each as a panel."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from copy import copy
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from typing import Annotated, Any, get_args, get_type_hints

__all__ = ["grouped"]


def grouped(command: Callable[..., Any]) -> Callable[..., Any]:
    """Return a command whose options are the fields of its dataclass arguments.

    Each field is annotated as an option, ``Annotated[type, typer.Option(...)]``. The first line of
    a dataclass's docstring is the title of its panel.
    """
    hints = get_type_hints(command, include_extras=True)
    parameters: list[inspect.Parameter] = []
    groups: dict[str, tuple[type, list[str]]] = {}
    for argument in inspect.signature(command).parameters.values():
        hint = hints[argument.name]
        if not is_dataclass(hint):
            parameters.append(
                argument.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=hint)
            )
            continue
        assert isinstance(hint, type)
        options = list(_options(hint))
        parameters += options
        groups[argument.name] = hint, [option.name for option in options]

    def run(**given: Any) -> Any:
        for name, (group, options) in groups.items():
            given[name] = group(**{option: given.pop(option) for option in options})
        return command(**given)

    run.__name__, run.__doc__ = command.__name__, command.__doc__
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return run


def _options(group: type) -> list[inspect.Parameter]:
    """Return the fields of a group as parameters of a command."""
    panel = (group.__doc__ or "").partition("\n")[0].rstrip(".")
    hints = _hints(group)
    found = []
    for field in fields(group):
        kind, option = get_args(hints[field.name])
        option = copy(option)
        option.rich_help_panel = panel
        found.append(
            inspect.Parameter(
                field.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=inspect.Parameter.empty if field.default is MISSING else field.default,
                annotation=Annotated[kind, option],
            )
        )
    return found


@cache
def _hints(group: type) -> dict[str, Any]:
    """Return the types of a group's fields; most groups belong to several commands."""
    return get_type_hints(group, include_extras=True)
