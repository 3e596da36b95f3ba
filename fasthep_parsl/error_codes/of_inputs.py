"""E130–E138, E210–E214: datasets, their files and branches, and their normalisation."""

from __future__ import annotations

from fasthep_parsl.error_codes.meaning import ErrorCode


def _files(*files: str, more: str = "") -> str:
    return f"data:\n  datasets:\n    - {{name: dy, files: [{', '.join(files)}]{more}}}\n"


_DY = "data/dy_*.root"
_DATASET = f"  datasets:\n    - {{name: dy, files: [{_DY}], eventtype: mc, xsec: 6 nb}}\n"
_WEIGHTED = """\
analysis:
  stages:
    - id: Met
      op: hep.hist
      params:
        axes: [{name: met, source: MET_pt, type: regular, bins: {nbins: 20, low: 0, high: 200}}]
"""

INPUTS: dict[str, ErrorCode] = {
    "E130": ErrorCode(
        "two datasets have the same name, or the same name in files",
        "A dataset was copied and its name was not changed, or two names differ only in characters that file names and"
        " objects of ROOT cannot have.",
        "reference/workflow",
        f"data:\n  datasets:\n    - {{name: dy, files: [{_DY}]}}\n    - {{name: dy, files: [data/zz_*.root]}}\n",
        f"data:\n  datasets:\n    - {{name: dy, files: [{_DY}]}}\n    - {{name: zz, files: [data/zz_*.root]}}\n",
    ),
    "E131": ErrorCode(
        "a pattern matches no file",
        "The folder or the pattern is misspelt, or the files are not there yet. Paths are relative to the workflow"
        " file. `fasthep-parsl demo-data FOLDER` writes the files of the examples.",
        "how-to/real-data",
        _files("data/dyy_*.root"),
        _files(_DY),
    ),
    "E132": ErrorCode(
        "an input file does not exist",
        "The path is misspelt, or is relative to another folder than that of the workflow file.",
        "how-to/real-data",
        _files("data/no_such_file.root"),
        _files(_DY),
    ),
    "E133": ErrorCode(
        "an input file is listed twice",
        "Two patterns match the same file, so its events would count twice.",
        "how-to/real-data",
        _files(_DY, "data/*dy*.root"),
        _files(_DY),
    ),
    "E134": ErrorCode(
        "a dataset has no files", "`files` is missing or empty.", "reference/workflow", _files(), _files(_DY)
    ),
    "E135": ErrorCode(
        "an input file is damaged, or does not match `sources`",
        "The tree in `sources` is misspelt, the file has another format, or it was not copied completely.",
        "reference/sources",
        "sources:\n  events: {kind: root_tree, tree: Evnts}\n",
        "sources:\n  events: {kind: root_tree, tree: Events}\n",
    ),
    "E136": ErrorCode(
        "a branch is missing in an input file, or cannot be used",
        "The branch is misspelt, or only some files have it. Give it a `default` in `fields`, or restrict the stage with"
        " `applies_to`.",
        "how-to/data-and-simulation",
        "fields:\n  met: {stream: events, branch: MET_ptt}\n",
        "fields:\n  met: {stream: events, branch: MET_pt}\n",
    ),
    "E137": ErrorCode(
        "`nevents` differs from the number of events in the files",
        "A file is missing or was added since `nevents` was written. Correct the number or the files.",
        "reference/workflow",
        _files(_DY, more=", nevents: 1"),
        _files(_DY),
    ),
    "E138": ErrorCode(
        "a logical name without a prefix, a pattern where one file is named, or a fileset that cannot be read",
        "`lfn:/store/…` needs `execution.storage.prefixes`, which a site or the workflow sets. A file with several"
        " places is named in full in each of them.",
        "how-to/replicas",
        _files('"lfn:/store/dy.root"'),
        _files(_DY),
    ),
    "E210": ErrorCode(
        "a dataset has no cross-section, or its era no luminosity",
        "With `data.luminosity`, each simulated dataset needs `xsec`. Data have `eventtype: data` and need none.",
        "how-to/normalise",
        f"data:\n  luminosity: 10 fb-1\n  sum_of_weights: {{expr: genWeight}}\n  datasets:\n    - {{name: dy, files: [{_DY}], eventtype: mc}}\n"
        + _WEIGHTED,
        f"data:\n  luminosity: 10 fb-1\n  sum_of_weights: {{expr: genWeight}}\n  datasets:\n    - {{name: dy, files: [{_DY}], eventtype: mc, xsec: 6 nb}}\n"
        + _WEIGHTED,
    ),
    "E211": ErrorCode(
        "a dataset has no sum of generator weights",
        "The files have no tree `Runs` with the sum, and nothing else says it. Set `sum_of_weights`, or skim with"
        " `hep.write`, which writes a manifest.",
        "how-to/normalise",
        f"data:\n  luminosity: 10 fb-1\n{_DATASET}" + _WEIGHTED,
        f"data:\n  luminosity: 10 fb-1\n  sum_of_weights: {{expr: genWeight}}\n{_DATASET}" + _WEIGHTED,
    ),
    "E212": ErrorCode(
        "generator weights cancel, or there are none",
        "The sum of weights of a dataset is zero or not a number, so nothing can be divided by it. Check the branch.",
        "how-to/normalise",
    ),
    "E213": ErrorCode(
        "the manifest of a skim does not fit a dataset",
        "Files of a skim are missing or from another skim, or the manifest was edited. Name all files of the skim.",
        "how-to/normalise",
    ),
    "E214": ErrorCode(
        "a file of certified luminosity sections is not valid, or certifies none of the data",
        "The file is not JSON of the form run → ranges, or belongs to another year.",
        "how-to/certified-data",
    ),
}
