"""Helpers that know nothing of networks: arrays, checks, error context, interrupts, limits."""
