"""The parts of `benchmarks/published.py`: one file an anchor, and what runs and reports them."""
