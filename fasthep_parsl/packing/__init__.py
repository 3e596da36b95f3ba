"""Packed environments: an archive of a Python installation that works in any folder, and its start on a node."""
