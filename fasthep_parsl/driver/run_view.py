"""What people look at in a run: histograms, cutflows, plots, and whether it is complete. Also shown in notebooks."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from fasthep_parsl.driver.cut_table import CutTable
from fasthep_parsl.driver.liveness import driver_runs
from fasthep_parsl.errors import ConfigError, FastHepError, Problem, UnknownResultError, suggest
from fasthep_parsl.ops.products import Cutflow, Histogram
from fasthep_parsl.plan.plan import extent_of
from fasthep_parsl.report import NAME, read_report, write_report
from fasthep_parsl.report.fragment import run_fragment
from fasthep_parsl.report.models import Report
from fasthep_parsl.report.run_report import plan_of
from fasthep_parsl.results.result_plots import ResultPlot, plain_results, result_plots, short_names

if TYPE_CHECKING:
    from fasthep_parsl.plan import Plan

T = TypeVar("T")
MAX_NAMES = 20
"""Names in a text."""


class NamedResults(Mapping[str, T], Generic[T]):
    """Results by name, which is the stage; ``<stage>:<name>`` if a stage has several.

    Parameters
    ----------
    what : str
        What they are, for messages.
    found : mapping
        Name → result.
    why : str
        Why something may be missing; empty if the run is complete.
    """

    def __init__(self, what: str, found: Mapping[str, T], why: str = "") -> None:
        self._what, self._found, self._why = what, found, why

    def __getitem__(self, name: str) -> T:
        if name not in self._found:
            raise unknown(self._what, name, self._found, self._why)
        return self._found[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)

    def __repr__(self) -> str:
        return f"{self._what}s: {listed(self._found)}"


def listed(names: Mapping[str, Any] | list[str]) -> str:
    """Return the first names, or ``none``."""
    every = list(names)
    more = f", … ({len(every)} in all)" if len(every) > MAX_NAMES else ""
    return ", ".join(every[:MAX_NAMES]) + more or "none"


def unknown(what: str, name: str, known: Mapping[str, Any] | list[str], why: str) -> UnknownResultError:
    """Return the error for a result that does not exist."""
    hint = suggest(str(name), known, what=f"{what}s")
    return UnknownResultError(f"no {what} `{name}`; {hint}{f'. {why}' if why else ''}")


class RunView:
    """What a run directory shows. Subclasses are dataclasses that have these fields."""

    if TYPE_CHECKING:

        @property
        def run_dir(self) -> Path: ...  # noqa: D102

        @property
        def status(self) -> str: ...  # noqa: D102

        @property
        def summary(self) -> dict[str, Any]: ...  # noqa: D102

    @cached_property
    def plan(self) -> Plan:
        """The plan of the run.

        Raises
        ------
        ConfigError
            The folder has no run, or another one by now.
        """
        plan = plan_of(self.run_dir)
        if self.summary and self.summary["plan_hash"] != plan.hash:
            raise ConfigError(Problem("E164", f"{self.run_dir} has another run by now"))
        return plan

    def _report(self) -> Report:
        return read_report(self.run_dir, alive=driver_runs(self.run_dir), plan=self.plan)

    def _results(self) -> Mapping[tuple[str, str], Any]:
        """Return (stage, name) → result."""
        raise NotImplementedError

    @cached_property
    def _named(self) -> dict[tuple[str, str], tuple[str, Histogram | Cutflow]]:
        found = plain_results(self._results())
        names: dict[tuple[str, str], str] = {}
        for kind in (Histogram, Cutflow):
            names |= short_names({key: result for key, result in found.items() if isinstance(result, kind)})
        return {key: (names[key], result) for key, result in found.items()}

    @property
    def histograms(self) -> NamedResults[Any]:
        """Name → `hist.Hist`. Contents are normalised where the run is."""
        found = {name: item.hist for name, item in self._named.values() if isinstance(item, Histogram)}
        return NamedResults("histogram", found, self.missing)

    @property
    def cutflows(self) -> NamedResults[CutTable]:
        """Name → cutflow, a table."""
        extent = extent_of(self.summary.get("limit") if self.summary else self.plan.limit)
        found = {name: CutTable(name, item, extent) for name, item in self._named.values() if isinstance(item, Cutflow)}
        return NamedResults("cutflow", found, self.missing)

    def __getitem__(self, name: str) -> Any:
        """Return the histogram of this name, else the cutflow."""
        histograms, cutflows = self.histograms, self.cutflows
        if name in histograms or name in cutflows:
            return histograms[name] if name in histograms else cutflows[name]
        raise unknown("result", name, [*histograms, *cutflows], self.missing)

    def _ipython_key_completions_(self) -> list[str]:
        return [name for name, _ in self._named.values()]

    @property
    def missing(self) -> str:
        """What is missing, in one sentence; empty if the run is complete."""
        verdict = self._report().verdict
        return "" if verdict.tone == "good" else verdict.headline

    @property
    def plots(self) -> tuple[Path, ...]:
        """Files of the plots, one format of each."""
        return tuple(self.run_dir / picture.path for picture in self._report().results.pictures)

    def plot(self, name: str, region: str = "") -> Any:
        """Draw a histogram or a cutflow in the style of the workflow.

        Parameters
        ----------
        name : str
            As in `histograms` and `cutflows`.
        region : str
            Region of a histogram that has several.

        Returns
        -------
        matplotlib.figure.Figure
            The figure, which a notebook shows. Its axes are in ``axes``.

        Raises
        ------
        UnknownResultError
            There is no result of this name, or it has several regions and none of this name.
        """
        from fasthep_parsl.results.plots import draw_figure

        key = self._key(name)
        plots = [plot for plot in self._result_plots() if plot.key == key]
        regions = {plot.drawing.region: plot for plot in plots}
        if len(regions) == 1 and not region:
            return draw_figure(plots[0])
        if region not in regions:
            raise unknown("region", region, [*regions], f"Give the `region` of `{name}`")
        return draw_figure(regions[region])

    def _key(self, name: str) -> tuple[str, str]:
        keys = {own: key for key, (own, _) in reversed(self._named.items())}
        if name not in keys:
            raise unknown("result", name, [*keys], self.missing)
        return keys[name]

    def _result_plots(self) -> Iterator[ResultPlot]:
        from fasthep_parsl.results import recipe_of
        from fasthep_parsl.results.normalisation import Normalisation

        results = self._results()
        return result_plots(results, recipe_of(self.plan, Normalisation()).plots(results))

    @property
    def report(self) -> Path:
        """The page about the run; written if the run has not written it."""
        path = self.run_dir / NAME
        return path if path.is_file() else write_report(self.run_dir, alive=driver_runs(self.run_dir))

    def _changed(self, status: str) -> str:
        """Return that the folder is not as it was when this was made; empty if it is."""
        same = status == self.status
        if same and self.summary:
            path = self.run_dir / "run.json"
            now = json.loads(path.read_bytes()) if path.is_file() else {}
            same = now == json.loads(json.dumps(self.summary, default=str))
        return "" if same else "The run directory has changed since: open it again with fp.open_run."

    def __repr__(self) -> str:
        try:
            verdict = self._report().verdict
            names = [f"histograms: {listed(self.histograms)}", f"cutflows: {listed(self.cutflows)}"]
            lines = [verdict.headline, *verdict.reasons[:3], self._changed(verdict.status), *names]
        except (FastHepError, OSError, ValueError) as error:
            lines = [f"its files cannot be read: {error}"]
        return "\n  ".join([f"{type(self).__name__} {self.run_dir}", *filter(None, lines)])

    def _repr_html_(self) -> str | None:
        """Return the verdict, the first plots and the cutflows; None if the files cannot be read: text is shown."""
        try:
            report = self._report()
            return run_fragment(report, self.run_dir, [*self.histograms], self._changed(report.verdict.status))
        except (FastHepError, OSError, ValueError):
            return None
