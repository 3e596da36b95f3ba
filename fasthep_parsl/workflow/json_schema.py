"""JSON Schema of a source in a workflow file: one alternative for each registered kind."""

from __future__ import annotations

from typing import Any

from fasthep_parsl import registry

SOURCE_KEYS = ("kind", "stream_type", "files")
"""Keys of a source that do not depend on its kind."""
_REFERENCES = "#/$defs/SourceSpec/$defs/{model}"


def of_sources(schema: dict[str, Any]) -> None:
    """Replace the schema of a source by those of all kinds. `tree` may be missing: datasets can have their own."""
    own = {key: schema["properties"][key] for key in SOURCE_KEYS}
    default = own["kind"]["default"]
    definitions: dict[str, Any] = {}
    found = []
    for name in registry.names("sources"):
        model = registry.load("sources", name)
        of_kind = model.model_json_schema(by_alias=True, ref_template=_REFERENCES)
        definitions |= of_kind.pop("$defs", {})
        kind = {"const": name, "title": "Kind", "description": own["kind"]["description"]}
        required = [key for key in of_kind.get("required", []) if key != "tree"]
        if name == default:
            kind["default"] = name
        else:
            required.append("kind")
        properties = {**own, "kind": kind, **of_kind.get("properties", {})}
        found.append({**of_kind, "type": "object", "properties": properties, "required": required})
    description = schema.get("description", "")
    schema.clear()
    schema |= {"title": "Source", "description": description, "anyOf": found}
    if definitions:
        schema["$defs"] = definitions
