"""A cutflow as a table: rows, text, HTML, and a data frame of pandas."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from fasthep_parsl.ops.products import Cutflow
from fasthep_parsl.report.fragment import cutflow_fragment
from fasthep_parsl.report.result_files import table_of
from fasthep_parsl.results.cutflows import csv_columns, csv_rows, cutflow_content, cutflow_table

WIDTH = 100
"""Characters of a line of text."""


@dataclass(frozen=True, repr=False)
class CutTable:
    """A cutflow of a run.

    Attributes
    ----------
    name : str
        Its stage.
    cutflow : Cutflow
        The numbers.
    extent : str
        Which events they are of, if not of all.
    """

    name: str
    cutflow: Cutflow
    extent: str = ""

    @property
    def rows(self) -> list[dict[str, Any]]:
        """One row per dataset and cut, with the columns of the CSV file."""
        return list(csv_rows(self.cutflow, self.extent))

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self.rows)

    def __len__(self) -> int:
        return sum(map(len, self.cutflow.rows.values()))

    def to_pandas(self) -> Any:
        """Return the rows as a `pandas.DataFrame`.

        Raises
        ------
        ModuleNotFoundError
            pandas is not installed.
        """
        try:
            import pandas as pd
        except ModuleNotFoundError as error:
            message = "to_pandas() needs pandas: pip install 'fasthep-parsl[pandas]'"
            raise ModuleNotFoundError(message, name=error.name) from None
        return pd.DataFrame(self.rows, columns=csv_columns(self.cutflow, self.extent))

    def __repr__(self) -> str:
        from rich.console import Console

        out = io.StringIO()
        # in a notebook, rich would display the table instead of writing it
        plain = {"color_system": None, "markup": False, "emoji": False, "highlight": False, "force_jupyter": False}
        console = Console(file=out, width=WIDTH, **plain)  # type: ignore[arg-type]
        title = f"{self.name} ({self.extent})" if self.extent else self.name
        console.print(cutflow_table(self.cutflow, title=title, width=WIDTH))
        return "\n".join(line.rstrip() for line in out.getvalue().splitlines())

    def _repr_html_(self) -> str:
        return cutflow_fragment(table_of(cutflow_content(self.cutflow, self.extent), self.name, ""))
