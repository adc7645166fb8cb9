"""What runs in the workers' processes: a module an engine, each with ``prepare(spec)``."""
