"""Names of list structures in an RNTuple: equal only if the file shows that the lengths are equal.

In a TTree, the structure of a list has the name of the branch with the lengths, such as `nMuon`. In an RNTuple, lengths
are a column of offsets. Fields that share this column have lists of equal lengths.
"""

from __future__ import annotations

from typing import Any

CARDINALITY = "RNTupleCardinality"
"""Type of a field whose values are the lengths of lists."""


def list_names(ntuple: Any) -> dict[str, str]:
    """Return form key of a list → name of its structure. Lists without a name may have any length.

    The name is the first of these that exists: the field with the lengths (``nMuon``); the path of the list, if its
    items are records; a top-level number ``nMuon`` for a field ``Muon_pt``. The last is a convention of NanoAOD, which
    a file may break: ops compare the lengths of all lists that they combine.
    """
    import uproot

    roles = uproot.const.RNTupleFieldRole
    records, columns = ntuple.field_records, ntuple.column_records
    offsets: dict[int, int] = {}
    for column in columns:
        offsets.setdefault(column.field_id, column.idx)
    numbers = {f.name for f in ntuple.fields if f.record.struct_role == roles.LEAF and not f.record.repetition}
    found: dict[str, str] = {}
    for field in ntuple.all_fields:
        record = field.record
        if record.struct_role != roles.COLLECTION or record.source_field_id is not None:
            continue
        if field.field_id not in offsets:
            continue
        key = f"column-{offsets[field.field_id]}"
        children = ntuple._related_ids.get(field.field_id, [])
        if any(records[child].struct_role == roles.RECORD for child in children):
            found[key] = _path(field)
        elif field.top_level and "_" in field.name and f"n{field.name.partition('_')[0]}" in numbers:
            found[key] = f"n{field.name.partition('_')[0]}"
    for field in ntuple.all_fields:
        if CARDINALITY in field.record.type_name and field.record.source_field_id in offsets:
            found[f"column-{offsets[field.record.source_field_id]}"] = field.path
    return found


def _path(field: Any) -> str:
    """Return the path of a field. Only items of lists have no name."""
    return field.path or f"{_path(field.parent)}._0"
