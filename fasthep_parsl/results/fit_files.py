"""Write everything for fit tools: templates, and the files of the formats that the workflow names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from fasthep_parsl.plan import TemplateFormat
from fasthep_parsl.results.cabinetry_config import write_cabinetry
from fasthep_parsl.results.combine_card import write_combine
from fasthep_parsl.results.families import ProductKey
from fasthep_parsl.results.nuisances import fit_notes, processes
from fasthep_parsl.results.pyhf_workspace import write_pyhf
from fasthep_parsl.results.templates import Collected, Factors, TemplateLayout, collect_templates, write_templates

_WRITERS: dict[TemplateFormat, Callable[[Collected, Path], list[Path]]] = {
    "cabinetry": write_cabinetry,
    "combine": write_combine,
    "pyhf": write_pyhf,
}


def write_fit_files(
    layout: TemplateLayout,
    products: Mapping[ProductKey, Any],
    folder: Path,
    factors: Factors | None = None,
    extent: str = "",
) -> list[str]:
    """Write what ``analysis.templates`` asks for, and return what is not as one would expect.

    Without any entry of a signal there is nothing to fit: only the templates are written, and a note says so.

    Parameters
    ----------
    layout : TemplateLayout
        The plan.
    products : mapping
        (stage id, product name) → merged product, of copies too.
    folder : Path
        ``results`` of the run directory.
    factors : mapping, optional
        Stage or copy → dataset → normalisation factor.
    extent : str
        Which events the products are of, if not of all.
    """
    found = collect_templates(layout, products, factors, extent)
    if found is None:
        return []
    formats = found.wanted.formats
    if formats:
        found.notes.extend(fit_notes(found))
        if not any(sample in found.wanted.signals for _, sample in processes(found)):
            names = ", ".join(formats)
            found.notes.append(f"no files for {names} are written: no signal has entries")
            formats = ()
    write_templates(found, folder)
    for tool in formats:
        _WRITERS[tool](found, folder)
    return found.notes
