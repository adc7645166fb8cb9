"""Published results of multilayer perceptrons, one file an anchor; `benchmarks/published.py` runs them."""
