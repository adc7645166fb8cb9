"""Code of the worker processes: one module per engine, each with ``prepare(spec)``."""
