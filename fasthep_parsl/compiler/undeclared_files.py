"""Warn of parameters that name a file which the op does not declare."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from fasthep_parsl.compiler.parameter_files import absolute_path
from fasthep_parsl.compiler.stages import CheckedStage
from fasthep_parsl.interfaces import ParamPath
from fasthep_parsl.names import harmful
from fasthep_parsl.workflow.yamldoc import Document, show_path


def undeclared_files(stages: Sequence[CheckedStage], document: Document, known: Collection[str]) -> list[str]:
    """Warn of parameters of users' ops that name a file which is not declared as one.

    Such a file is not sent to workers, and `--resume` does not notice its changes. Files in `known` are in the plan for
    other reasons.
    """
    warnings = []
    for item in stages:
        if item.op.built_in:
            continue
        declared = {use.key for file in item.files for use in file.uses}
        for path, text in _texts(item.stage.params):
            file = None if path in declared else _existing(text, document.folder_of((*item.path, "params", *path)))
            if file is not None and str(file) not in known and os.path.realpath(file) not in known:
                what = f"stage `{item.stage.id}`: `{show_path(path)}` names the file `{text}`"
                how = f"declare it in op `{item.op.name}` as `InputFile`"
                warnings.append(f"{what}, which is not sent to workers and can change unnoticed ({how})")
    return warnings


def _texts(value: Any, path: ParamPath = ()) -> Iterator[tuple[ParamPath, str]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _texts(item, (*path, key))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _texts(item, (*path, number))
    elif isinstance(value, str):
        yield path, value


def _existing(text: str, folder: Path) -> Path | None:
    """Return the file that a text names, None if it does not look like the name of a file that exists."""
    if harmful(text) or not (Path(text).suffix or "/" in text):
        return None
    with suppress(OSError, ValueError):
        file = absolute_path(text, folder)
        return file if file.is_file() else None
    return None
