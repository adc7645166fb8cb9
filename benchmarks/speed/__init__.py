"""Shared by ``bench.py`` and ``scaling.py``: cases, interleaved timing, machine, tables."""
