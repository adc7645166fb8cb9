"""What ``bench.py`` and ``scaling.py`` share: cases, workers, turns, the machine, tables."""
