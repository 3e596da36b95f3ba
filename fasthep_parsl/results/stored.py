"""Read the results of a run directory, to draw them again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fasthep_parsl.ops.axes import NOMINAL, SYSTEMATIC_AXES
from fasthep_parsl.ops.products import Cutflow, CutflowRow, Histogram, Rows
from fasthep_parsl.plan import Plan
from fasthep_parsl.results.assembled import RAW
from fasthep_parsl.results.axes_of_results import INCLUSIVE
from fasthep_parsl.results.families import Family, ProductKey, families
from fasthep_parsl.results.histograms import METADATA_KEY, categories_of


def stored_results(run_dir: Path, plan: Plan) -> dict[ProductKey, Any]:
    """Return the histograms and cutflows in ``results/`` of a run directory.

    Parameters
    ----------
    run_dir : Path
        The run directory.
    plan : Plan
        Its plan.

    Returns
    -------
    dict
        (stage of the workflow, name) → histogram or cutflow. Contents before normalisation have the name ``<name>-raw``.
    """
    found: dict[ProductKey, Any] = {}
    for family in families(plan):
        for suffix in ("", RAW):
            path = run_dir / "results" / family.stage / f"{family.product}{suffix}.json"
            if path.is_file():
                result = _read(path, family)
                if result is not None:
                    found[family.stage, family.product + suffix] = result
    return found


def _read(path: Path, family: Family) -> Any:
    """Return a histogram or a cutflow; None for other products."""
    content = json.loads(path.read_text())
    if not isinstance(content, dict):
        return None
    if "uhi_schema" in content or {"axes", "storage"} <= content.keys():
        return _histogram(path.read_text(), content.get("metadata", {}), family)
    return _cutflow(content) if {"weighted", "nan_weights", "datasets"} <= content.keys() else None


def _histogram(text: str, metadata: dict[str, Any], family: Family) -> Histogram:
    import hist
    import uhi.io.json

    made = hist.Hist(json.loads(text, object_hook=uhi.io.json.object_hook))
    own = {key: metadata.get(METADATA_KEY.format(key), 0) for key in ("none", "nan")}
    regions = [name or INCLUSIVE for name in family.regions]
    return Histogram(
        made,
        own["none"],
        own["nan"],
        str(metadata.get(METADATA_KEY.format("title"), "")),
        region_axis=next(
            (a.name for a in made.axes if a.name.rstrip("_") == "region" and categories_of(a) == regions), ""
        )
        if family.regions != ("",)
        else "",
        variation_axis=next(_varied(made), "") if family.kinds else "",
    )


def _varied(hist: Any) -> Iterator[str]:
    for axis in reversed(hist.axes):
        if axis.name in SYSTEMATIC_AXES and NOMINAL in (categories_of(axis) or []):
            yield axis.name


def _cutflow(content: dict[str, Any]) -> Cutflow:
    variations = {name: _rows(rows) for name, rows in content.get("variations", {}).items()}
    return Cutflow(_rows(content["datasets"]), content["weighted"], content["nan_weights"], variations)


def _rows(datasets: dict[str, list[dict[str, Any]]]) -> Rows:
    known = CutflowRow.__dataclass_fields__
    return {
        name: tuple(CutflowRow(**{key: value for key, value in row.items() if key in known}) for row in rows)
        for name, rows in datasets.items()
    }
