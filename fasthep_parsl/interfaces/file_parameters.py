"""File parameters: the types `InputFile` and `InputFolder` of parameters whose value is a file that an op reads.

A workflow gives the path. The compiler finds the file and hashes it, the driver copies it to the run directory, and
workers verify their copy. The op receives the path of this copy.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, is_dataclass
from pathlib import Path, PurePath
from typing import Annotated, Any, Literal, Protocol, Self, TypeGuard

from pydantic import BaseModel, GetCoreSchemaHandler, GetJsonSchemaHandler, ValidationInfo
from pydantic.fields import FieldInfo
from pydantic_core import core_schema

from fasthep_parsl.interfaces.ops import ParamPath
from fasthep_parsl.resources.units import describe
from fasthep_parsl.resources.validation import wrong_value

LOOKUP = "fasthep_parsl_files"
"""Key of the `FileLookup` in the context of a validation."""
_AMBIGUOUS = (str, Path, PurePath, Any, object)
"""Types that accept the text of every path. Next to a file in one annotation, they would take its place."""


class FileLookup(Protocol):
    """How paths in the parameters of a stage become files: on the submit side, or on a worker."""

    def __call__(self, path: ParamPath, text: str, *, folder: bool) -> Path:
        """Return the file or folder that the parameter at `path` names with `text`.

        Raises
        ------
        PydanticCustomError
            There is no such file; see `wrong_value`.
        """


class WrittenText(str):
    """A text in the parameters of a stage, with its key path. A copy of it is a plain text."""

    def __new__(cls, text: str, path: ParamPath) -> Self:
        """Return `text` at `path`."""
        made = super().__new__(cls, text)
        made.path = path
        return made

    path: ParamPath

    def __deepcopy__(self, memo: dict[int, Any]) -> str:
        """Return the plain text."""
        return str(self)

    def __reduce__(self) -> tuple[type[str], tuple[str]]:
        """Return how to unpickle it: as plain text."""
        return str, (str(self),)


def written(value: Any, path: ParamPath = ()) -> Any:
    """Return parameters in which each text knows its key path."""
    if isinstance(value, Mapping):
        return {key: written(item, (*path, key)) for key, item in value.items()}
    if isinstance(value, list):
        return [written(item, (*path, number)) for number, item in enumerate(value)]
    return WrittenText(value, path) if isinstance(value, str) else value


@dataclass(frozen=True, slots=True)
class FileParameter:
    """Marks a path in an annotation as a file, or as a folder, that workers need a copy of."""

    folder: bool = False

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        """Return the schema that finds the file."""
        del source, handler
        return core_schema.with_info_plain_validator_function(
            self._find, serialization=core_schema.to_string_ser_schema()
        )

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """Return the JSON Schema: the text of a path."""
        del schema, handler
        return {"type": "string", "format": "directory-path" if self.folder else "file-path"}

    @property
    def noun(self) -> str:
        """What it is: ``file`` or ``folder``."""
        return "folder" if self.folder else "file"

    def _find(self, value: object, info: ValidationInfo) -> Path:
        """Return the file that `value` names. A `Path` is already found: tests of ops give their parameters so."""
        if isinstance(value, Path):
            return value
        if not isinstance(value, str):
            raise wrong_value(f"expected the path of a {self.noun}, got {describe(value)}")
        if not value.strip():
            raise wrong_value(f"expected the path of a {self.noun}, got an empty text")
        lookup = (info.context or {}).get(LOOKUP)
        if lookup is None:
            raise wrong_value(f"a {self.noun} can only be a parameter of an op", "elsewhere, use the type `str`")
        if not isinstance(value, WrittenText):
            raise wrong_value("a validator of the op changes the path before it is found", "check the file instead")
        found: Path = lookup(value.path, str(value), folder=self.folder)
        return found


InputFile = Annotated[Path, FileParameter()]
"""A file that an op reads: the type of a parameter whose value in a workflow is a path relative to the workflow file. The
op receives the path of a read-only copy with the same name."""

InputFolder = Annotated[Path, FileParameter(folder=True)]
"""A folder that an op reads, with everything in it, such as a SavedModel of TensorFlow. As `InputFile`."""


def file_type(annotation: Any) -> FileParameter | None:
    """Return the mark of an annotation that is a file or a folder itself, None for all others."""
    if typing.get_origin(annotation) is Annotated:
        return next((mark for mark in typing.get_args(annotation)[1:] if isinstance(mark, FileParameter)), None)
    return None


def full_annotation(field: FieldInfo) -> Any:
    """Return the annotation of a field with the mark of a file, which pydantic keeps apart from it."""
    mark = next((mark for mark in field.metadata if isinstance(mark, FileParameter)), None)
    return field.annotation if mark is None else Annotated[field.annotation, mark]


def has_files(annotation: Any) -> bool:
    """Return whether an annotation contains a file or a folder, also in nested models."""
    return any(file_type(part) for part in _parts(annotation))


def wrong_with_files(model: type[BaseModel]) -> str:
    """Return why the file parameters of a model cannot work; empty if they can, or if there are none."""
    for part in _parts(model):
        options = typing.get_args(part) if _is_union(part) else ()
        if any(map(file_type, options)) and any(_is_any_text(option) for option in options):
            return "a parameter cannot be both a file and any text: write `InputFile` alone, or `InputFile | None`"
        if is_model(part):
            for name, field in part.model_fields.items():
                if has_files(full_annotation(field)) and _names_a_file(field):
                    return f"`{name}` is a file, and only workflows name files: its default can be None, or empty"
    return ""


def is_model(annotation: Any) -> TypeGuard[type[BaseModel]]:
    """Return whether an annotation is a pydantic model."""
    return isinstance(annotation, type) and not typing.get_origin(annotation) and issubclass(annotation, BaseModel)


def _names_a_file(field: FieldInfo) -> bool:
    """Return whether the default of a field contains a path."""
    if field.is_required():
        return False
    try:
        return _has_path(field.get_default(call_default_factory=True), full_annotation(field))
    except (TypeError, ValueError):  # it depends on the other parameters
        return False


def _has_path(value: Any, annotation: Any) -> bool:
    if isinstance(value, BaseModel):
        fields = type(value).model_fields
        return any(_has_path(getattr(value, name), full_annotation(field)) for name, field in fields.items())
    if isinstance(value, Mapping):
        return any(_has_path(item, annotation) for item in value.values())
    if isinstance(value, list | tuple | set | frozenset):
        return any(_has_path(item, annotation) for item in value)
    words = [
        word for part in _parts(annotation) if typing.get_origin(part) is Literal for word in typing.get_args(part)
    ]
    return isinstance(value, str | PurePath) and has_files(annotation) and value not in words


def _is_union(annotation: Any) -> bool:
    return typing.get_origin(annotation) in (typing.Union, types.UnionType)


def _is_any_text(annotation: Any) -> bool:
    if file_type(annotation):
        return False
    bare = typing.get_args(annotation)[0] if typing.get_origin(annotation) is Annotated else annotation
    return any(bare is kind for kind in _AMBIGUOUS)


def _parts(annotation: Any, seen: set[Any] | None = None) -> Iterator[Any]:
    """Yield an annotation and everything in it: alternatives, items, and the fields of models and dataclasses."""
    seen = set() if seen is None else seen
    annotation = getattr(annotation, "__value__", annotation)  # of `type X = …`
    yield annotation
    if file_type(annotation):
        return
    inner: list[Any] = [part for part in typing.get_args(annotation) if not isinstance(part, str)]
    if isinstance(annotation, type) and annotation not in seen:
        seen.add(annotation)
        if is_model(annotation):
            inner += [full_annotation(field) for field in annotation.model_fields.values()]
        elif is_dataclass(annotation) or typing.is_typeddict(annotation):
            inner += typing.get_type_hints(annotation, include_extras=True).values()
    for part in inner:
        yield from _parts(part, seen)
