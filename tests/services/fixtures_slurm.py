"""Pytest fixtures: a Slurm cluster, without and with accounting."""
