"""The report of a run: one static page, made from what the run has written. Also while it runs, and after a kill."""

from __future__ import annotations

from fasthep_parsl.report.run_report import read_report
from fasthep_parsl.report.write import NAME, write_report

__all__ = ["NAME", "read_report", "write_report"]
