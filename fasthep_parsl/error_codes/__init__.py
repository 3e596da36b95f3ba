"""Codes of problems: ``E`` errors, ``W`` warnings. What they mean, why they happen, what is wrong and what is right.

Source of ``fasthep-parsl explain`` and of docs/reference/errors.md.
"""

from fasthep_parsl.error_codes.meaning import ErrorCode, Form
from fasthep_parsl.error_codes.of_analyses import ANALYSES
from fasthep_parsl.error_codes.of_files import FILES
from fasthep_parsl.error_codes.of_inputs import INPUTS
from fasthep_parsl.error_codes.of_resources import RESOURCES
from fasthep_parsl.error_codes.of_runs import RUNS

CODES: dict[str, ErrorCode] = dict(sorted((FILES | ANALYSES | INPUTS | RESOURCES | RUNS).items()))
"""Code of a `Problem` → what is known about it."""

__all__ = ["CODES", "ErrorCode", "Form"]
