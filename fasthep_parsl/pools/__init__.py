"""Pools: groups of equal workers, and the pool of each stage."""
