"""Styles of plots in a plan, in FAST-HEP's spelling (``styles:`` and ``render:``). They have no effect on results."""

from __future__ import annotations

import difflib
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from fasthep_parsl.plan.base import Frozen

PictureFormat = Literal["png", "pdf", "svg"]
"""Format of the file of a plot."""
EXPERIMENTS = ("ALICE", "ATLAS", "CMS", "DUNE", "LHCb", "plain")
"""Experiments whose label is written as mplhep does; ``plain``: none. Any other text is written as it is."""
Location = Literal[
    "best", "upper right", "upper left", "lower left", "lower right", "right", "center left", "center right",
    "lower center", "upper center", "center", "outside",
]  # fmt: skip
"""Place of a legend, as matplotlib names it; ``outside``: right of the plot."""
HistogramType = Literal["fill", "step", "bar"]
Limits = tuple[float, float]


class FigureStyle(Frozen):
    """Size of the picture."""

    size: tuple[float, float] | None = Field(None, description="width and height, inches; default: what the plot needs")
    dpi: int = Field(120, ge=20, le=1200, description="pixels per inch of PNG")


class AxisStyle(Frozen):
    """An axis of a plot."""

    name: str | None = Field(None, description="name of the axis, as fasthep-render writes it; ignored")
    label: str | None = Field(None, description="label with unit; default: that of the histogram")
    scale: Literal["auto", "linear", "log"] = Field(
        "auto",
        description="`auto` is logarithmic if contents span more than three decades (`y`, `z`), or if bins are equal in"
        " the logarithm (`x`)",
    )
    limits: Limits | None = Field(None, description="lowest and highest value that is shown")

    @field_validator("limits")
    @classmethod
    def _rising(cls, value: Limits | None) -> Limits | None:
        if value is not None and not value[0] < value[1]:
            raise ValueError(f"limits must rise, got {value[0]:g} and {value[1]:g}")
        return value

    @model_validator(mode="after")
    def _positive(self) -> AxisStyle:
        if self.scale == "log" and self.limits is not None and self.limits[0] <= 0:
            raise ValueError(f"a logarithmic axis has limits above 0, got {self.limits[0]:g}")
        return self


class AxesStyle(Frozen):
    """The axes of a plot."""

    x: AxisStyle = Field(AxisStyle(), description="the first axis of the histogram")
    y: AxisStyle = Field(AxisStyle(), description="contents; the second axis of a histogram with two")
    z: AxisStyle = Field(AxisStyle(), description="colours of a histogram with two axes")
    ratio: AxisStyle = Field(AxisStyle(), description="ratio of data and simulation")


class LegendStyle(Frozen):
    """The legend."""

    loc: Location = Field("upper right", description="place; moved out of the plot if it does not fit")
    ncol: int | None = Field(None, ge=1, le=10, description="columns; default: as many as it needs")
    frameon: bool = Field(False, description="draw a frame")
    fontsize: float | None = Field(None, gt=0, description="points")


class DatasetStyle(Frozen):
    """How a dataset or a group of datasets is drawn."""

    label: str | None = Field(None, description="entry of the legend; `$…$` is a formula; default: the name")
    color: str | None = Field(
        None, description="name or `#rrggbb`; default: colours that colour-blind readers tell apart"
    )
    hatch: str | None = Field(None, description="pattern of matplotlib, such as `//`")
    alpha: float | None = Field(None, ge=0, le=1, description="opacity")
    kind: Literal["data", "background", "signal"] | None = Field(None, description="default: from `eventtype`")
    stack: bool | None = Field(None, description="whether it is in the stack; default: yes for simulation")


class Appearance(Frozen):
    """Labels and colours."""

    experiment: str = Field(
        "plain",
        min_length=1,
        description="label: `ALICE`, `ATLAS`, `CMS`, `DUNE`, `LHCb`, any other text; `plain`: none",
    )
    label: str | None = Field(None, description="text behind it, such as `Preliminary`")
    lumi: float | str | None = Field(
        None, description="1/fb; default: `data.luminosity` of the workflow. Text is written as it is"
    )
    com: float | str | None = Field(None, description="centre-of-mass energy, TeV; default: not written")
    year: float | str | None = Field(None, description="year of data taking; default: not written")
    datasets: dict[str, DatasetStyle] = Field(default_factory=dict, description="dataset or group → how it is drawn")
    color_cycle: tuple[str, ...] = Field((), description="colours of datasets without one")

    @field_validator("experiment")
    @classmethod
    def _known(cls, value: str) -> str:
        close = difflib.get_close_matches(value.upper(), [name.upper() for name in EXPERIMENTS], n=1)
        meant = next((name for name in EXPERIMENTS if close and name.upper() == close[0]), value)
        if value != meant:
            raise ValueError(f"`{value}` is not allowed: did you mean `{meant}`?")
        return value


class DataMcStyle(Frozen):
    """How data and simulation are compared."""

    data: str | tuple[str, ...] | None = Field(None, description="data; default: datasets of `eventtype: data`")
    backgrounds: tuple[str, ...] = Field(
        (), description="datasets or groups, the top of the stack first; default: by size"
    )
    signals: tuple[str, ...] = Field((), description="datasets or groups that are signals")
    include_signals_in_stack: bool = Field(True, description="else signals are lines")
    show_mc_uncertainty: bool = Field(True, description="draw the band of uncertainty")
    stack: bool = Field(True, description="stack simulation, else draw lines")
    stack_order: Literal["legend", "reverse_legend"] = Field(
        "reverse_legend", description="`reverse_legend`: the first entry of the legend is on top"
    )
    ratio: bool = Field(True, description="draw data over simulation below the plot")
    histtype_mc: HistogramType = Field("fill", description="`step` draws lines")
    histtype_signal: HistogramType = Field("step", description="of signals that are not in the stack")
    legend_auto_ncol_threshold: int = Field(5, ge=1, description="more entries have several columns")
    legend_max_ncol: int = Field(4, ge=1, description="most columns of the legend")
    ratio_ylim: Limits | None = Field(None, description="limits of the ratio; default: what the points need")
    ratio_ylabel: str = Field("Data / Sim.", description="label of the ratio")

    @property
    def of_data(self) -> tuple[str, ...]:
        """Names in `data`."""
        return (self.data,) if isinstance(self.data, str) else self.data or ()


class ProjectionStyle(Frozen):
    """One axis of a histogram with several, drawn alone."""

    axis: str = Field(description="name of the axis")
    keep_dataset: bool = Field(True, description="whether datasets are told apart")


class PlotStyle(Frozen):
    """A style of plots."""

    op: str | None = Field(None, description="renderer of fasthep-render; the axes of the histogram decide")
    figure: FigureStyle = Field(FigureStyle(), description="size")
    axes: AxesStyle = Field(AxesStyle(), description="labels, limits and scales")
    legend: LegendStyle = Field(LegendStyle(), description="the legend")
    style: Appearance = Field(Appearance(), description="experiment, luminosity, colours and labels")
    data_mc: DataMcStyle = Field(DataMcStyle(), description="data and simulation")
    formats: tuple[PictureFormat, ...] = Field((), description="files to write: `png`, `pdf`, `svg`; default: `png`")
    hist1d: dict[str, Any] = Field(default_factory=dict, description="of fasthep-render; ignored with a warning")
    heatmap2d: dict[str, Any] = Field(default_factory=dict, description="of fasthep-render; ignored with a warning")
    project: ProjectionStyle | None = Field(
        None, description="draw one axis of several; its key `then: {use: BASE, with: {…}}` is the style of that plot"
    )
    comparison: dict[str, Any] = Field(default_factory=dict, description="of fasthep-render; ignored with a warning")
    select: dict[str, Any] = Field(default_factory=dict, description="of fasthep-render; ignored with a warning")
    transforms: tuple[dict[str, Any], ...] = Field((), description="of fasthep-render; ignored with a warning")
    extensions: dict[str, Any] = Field(default_factory=dict, description="of fasthep-render; ignored")


IGNORED = ("hist1d", "heatmap2d", "comparison", "select", "transforms")
"""Keys of a style that have no effect here."""


class PlanPicture(Frozen):
    """How the plots of a stage are drawn."""

    stage: str = Field(description="stage of the workflow; empty: all stages without an own style")
    name: str = Field("", description="name of the file, without suffix; default: the stage")
    style: PlotStyle = PlotStyle()
    formats: tuple[PictureFormat, ...] = ("png",)
