"""Strategies: how the workers of a pool are created. One file per strategy; all are pure."""
