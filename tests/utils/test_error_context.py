"""error_context: errors become deltarule's own, and all others pass unchanged."""

from __future__ import annotations

import pytest

from deltarule.errors import OutputError, TableError
from deltarule.utils.context import error_context, system_reason


def test_the_first_matching_rule_replaces_an_error() -> None:
    missing = (FileNotFoundError, lambda _: TableError("missing"))
    other = (OSError, lambda error: TableError(f"other: {system_reason(error)}"))
    with pytest.raises(TableError, match=r"^missing$") as caught, error_context(missing, other):
        raise FileNotFoundError
    assert isinstance(caught.value.__cause__, FileNotFoundError)
    with pytest.raises(TableError, match=r"^other: No space left$"), error_context(missing, other):
        raise OSError(28, "No space left")


def test_errors_without_a_rule_pass_unchanged() -> None:
    with pytest.raises(KeyError) as caught, error_context((OSError, lambda _: TableError("no"))):
        raise KeyError("x")
    assert caught.value.__cause__ is None


def test_excepted_errors_pass_unchanged() -> None:
    rule = (OSError, lambda _: OutputError("replaced"))
    with (
        pytest.raises(OutputError, match=r"^original$"),
        error_context(rule, unless=OutputError),
    ):
        raise OutputError("original")


def test_an_interrupt_passes_unchanged() -> None:
    rule = (BaseException, lambda _: TableError("replaced"))
    with pytest.raises(KeyboardInterrupt), error_context(rule):
        raise KeyboardInterrupt


def test_the_reason_of_an_error_without_a_message_is_its_type() -> None:
    assert system_reason(PermissionError()) == "PermissionError"
