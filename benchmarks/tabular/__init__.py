"""The parts of `benchmarks/tables.py`: tables, contenders, measuring, report."""
