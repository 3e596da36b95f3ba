"""Mistakes in a pixi project, as errors of the user's input."""

from __future__ import annotations

from fasthep_parsl.errors import ConfigError, Hint, Problem

KEY = "execution.environment"


def project_error(message: str, hint: Hint = "", *, name: str = "") -> ConfigError:
    """Return the error for a project that cannot be packed as it is.

    Parameters
    ----------
    message, hint, name
        As in `Problem`.
    """
    return ConfigError(Problem("E114", f"environment `packed-pixi`: {message}", KEY, hint=hint, name=name))
