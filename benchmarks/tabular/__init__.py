"""Parts of `benchmarks/tables.py`: tables, models, measurements, report."""
