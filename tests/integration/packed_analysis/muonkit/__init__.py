"""A package of the user."""

from muonkit.scale import corrected

__all__ = ["corrected"]
