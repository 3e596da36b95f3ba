"""Which process drives a run, and whether it still does: another one must not take its jobs away."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from typing import Any

import psutil

TOLERANCE = 2.0
"""Seconds by which the kernel's answers to when a process began may differ."""


def this_driver() -> dict[str, Any]:
    """Return what tells this process from all others: its machine, its number, and when it began."""
    return {"host": socket.gethostname(), "pid": os.getpid(), "since": psutil.Process().create_time()}


def is_alive(driver: Mapping[str, Any]) -> bool | None:
    """Return whether a driver still runs, None if that cannot be seen from this machine.

    Parameters
    ----------
    driver : mapping
        As `this_driver` has returned it there.
    """
    if driver.get("host") != socket.gethostname():
        return None
    try:
        began = psutil.Process(driver["pid"]).create_time()
    except (psutil.NoSuchProcess, psutil.AccessDenied, KeyError):
        return False
    return bool(abs(began - driver.get("since", began)) < TOLERANCE)
