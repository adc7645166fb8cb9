"""What every test may rely on."""

from __future__ import annotations

import signal

from hypothesis import HealthCheck, settings

# The same examples on every run and every machine; no example is ever timed.
settings.register_profile(
    "deltarule",
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("deltarule")


def pytest_configure() -> None:
    """Hear Ctrl-C: a shell starts what it puts into the background with SIGINT ignored."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
