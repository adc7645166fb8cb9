"""What one pass over a table learns about its columns, its target and its parts."""
