"""Blocks that are jobs of a batch system."""
