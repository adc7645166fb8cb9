"""Parts of `benchmarks/published.py`: one file per published result, the runs and the report."""
