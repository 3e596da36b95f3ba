"""E120–E129, E150–E155: stages and how they are connected, expressions, regions, templates and variations."""

from __future__ import annotations

from fasthep_parsl.error_codes.meaning import ErrorCode

_SELECT = "{id: Selection, op: hep.select, params: {selection: [nMuon >= 2]}}"
_REGIONS = "  regions: {signal: [nMuon >= 2]}\n"


def _stages(*stages: str) -> str:
    return "analysis:\n  stages:\n" + "".join(f"    - {stage}\n" for stage in stages)


def _histogram(*, top: str = "", parameter: str = "") -> str:
    """Return a stage that fills a histogram, with one more line in it."""
    axes = "axes: [{name: met, source: MET_pt, type: regular, bins: {nbins: 20, low: 0, high: 200}}]"
    lines = ["id: Met", "  op: hep.hist", f"  {top}", "  params:", f"    {parameter}", f"    {axes}"]
    return "\n    ".join(line for line in lines if line.strip())


_TEMPLATES = _stages(_histogram()) + "  templates:\n    histograms: [Met]\n"

ANALYSES: dict[str, ErrorCode] = {
    "E120": ErrorCode(
        "two stages have the same id",
        "A stage was copied and its id was not changed. Ids that differ only in case count as the same.",
        "reference/workflow",
        _stages(_SELECT, "{id: Selection, op: hep.select, params: {selection: [MET_pt > 20]}}"),
        _stages(_SELECT, "{id: HighMet, op: hep.select, params: {selection: [MET_pt > 20]}}"),
    ),
    "E121": ErrorCode(
        "`needs` or `from` names a stage that does not exist",
        "The id is misspelt, or the stage was renamed.",
        "reference/workflow",
        _stages(_SELECT, _histogram(top="needs: [Selecton]")),
        _stages(_SELECT, _histogram(top="needs: [Selection]")),
    ),
    "E122": ErrorCode(
        "stages need each other in a cycle",
        "A stage needs itself, or a stage that needs it. Remove one of the `needs`.",
        "reference/workflow",
        _stages("{id: Selection, op: hep.select, needs: [Selection], params: {selection: [nMuon >= 2]}}"),
        _stages(_SELECT),
    ),
    "E123": ErrorCode(
        "the stream that a stage reads is ambiguous",
        "A stage needs two stages that select events differently. Its events would be those of which one? Let one of"
        " the two need the other, or need only one.",
        "reference/workflow",
        _stages(
            _SELECT,
            "{id: HighMet, op: hep.select, needs: [], params: {selection: [MET_pt > 20]}}",
            _histogram(top="needs: [Selection, HighMet]"),
        ),
        _stages(
            _SELECT,
            "{id: HighMet, op: hep.select, needs: [Selection], params: {selection: [MET_pt > 20]}}",
            _histogram(top="needs: [HighMet]"),
        ),
    ),
    "E124": ErrorCode(
        "`from` names a product that does not exist",
        "`from` binds a product of a stage, such as a histogram, to a parameter. Stages that only select or define"
        " events have no product; write `needs` to read their events.",
        "how-to/own-code",
        _stages(
            _SELECT,
            _histogram(top="from: [{node: Selection, port: histogram, as: weight_expr}]"),
        ),
        _stages(_SELECT, _histogram(top="needs: [Selection]")),
    ),
    "E125": ErrorCode(
        "a histogram names a region that does not exist",
        "The name is misspelt, or `analysis.regions` does not have it.",
        "how-to/fit",
        _stages(_histogram(parameter="regions: [sginal]")) + _REGIONS,
        _stages(_histogram(parameter="regions: [signal]")) + _REGIONS,
    ),
    "E126": ErrorCode(
        "templates name a histogram, sample, dataset or variation that does not exist or cannot be one",
        "A name in `analysis.templates` is misspelt, or the histogram has more than one axis.",
        "how-to/fit",
        _stages(_histogram()) + "  templates:\n    histograms: [Mett]\n",
        _TEMPLATES,
    ),
    "E127": ErrorCode(
        "templates that would have the same name, or a dataset in two samples",
        "Patterns in `samples` overlap, or `names` lacks a part that differs. Events would count twice.",
        "how-to/fit",
        _TEMPLATES + "    samples: {z: [dy], background: [dy]}\n",
        _TEMPLATES + "    samples: {z: [dy]}\n",
    ),
    "E128": ErrorCode(
        "a fit tool needs what the templates do not have: data, a signal, or both directions of a variation",
        "A format of `templates.formats` needs `signal`, and data or `pseudodata`.",
        "how-to/fit",
        _TEMPLATES + "    formats: [pyhf]\n    signal: [dy]\n",
        _TEMPLATES + "    formats: [pyhf]\n    signal: [dy]\n    pseudodata: {}\n",
    ),
    "E129": ErrorCode(
        "a systematic variation changes nothing, or contradicts another one",
        "It has no effect on any weight or field that a histogram reads, or two variations have the same name, or the"
        " same direction of one group.",
        "how-to/variations",
        _stages(_histogram()) + "systematics:\n  variations:\n    - {name: met_up}\n",
        _stages(_histogram())
        + "systematics:\n  variations:\n    - {name: met_up, replace: {fields: {MET_pt: MET_pt * 1.03}}}\n",
    ),
    "E150": ErrorCode(
        "unknown field",
        "The field is misspelt, is not in the input files, or is defined only by a stage that this one does not need."
        " Fields of objects are `Muon_pt`, their number is `nMuon`.",
        "reference/expressions",
        _stages("{id: Selection, op: hep.select, params: {selection: [nMuons >= 2]}}"),
        _stages(_SELECT),
    ),
    "E151": ErrorCode(
        "an expression is not valid",
        "A bracket is missing, a function or operator is not one of expressions, or lists of different objects are"
        " combined. Write `&`, `|` and `~` with brackets, not `and`, `or` and `not`.",
        "reference/expressions",
        _stages("{id: Selection, op: hep.select, params: {selection: ['nMuon >= 2)']}}"),
        _stages("{id: Selection, op: hep.select, params: {selection: ['(nMuon >= 2)']}}"),
    ),
    "E152": ErrorCode(
        "a fact of a dataset (`dataset.<key>`) is missing in some dataset",
        "Every dataset that the stage applies to must have the key. Add it to them, or to `data.defaults`.",
        "how-to/data-and-simulation",
        _stages("{id: Scaled, op: hep.define, params: {variables: [{name: met, expr: MET_pt * dataset.scale}]}}"),
        "data:\n  datasets: [{name: dy, files: [data/dy_*.root], scale: 1.02}]\n"
        + _stages("{id: Scaled, op: hep.define, params: {variables: [{name: met, expr: MET_pt * dataset.scale}]}}"),
    ),
    "E155": ErrorCode(
        "a correction, a product of weights or a model that does not fit its inputs: names, types, categories, directions",
        "The inputs of the stage are not those of the file. The error names what the file expects.",
        "how-to/corrections",
    ),
}
