"""Tables that are larger than memory: read piece by piece, as often as it takes."""
