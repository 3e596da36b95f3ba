"""Lists of numbers are what uproot reads, for any range of events, and branches of one collection share their offsets."""

from __future__ import annotations

import awkward as ak
import numpy as np
import pytest
import uproot

from fasthep_parsl.sources.jagged_branches import JaggedNumbers, KnownOffsets, reads_faster
from fasthep_parsl.sources.root_file import open_tree

SIZES = (7, 1, 30, 12)
TYPES = {"Jet_pt": "float32", "Jet_id": "int32", "Jet_good": "bool", "Jet_mass": "float64", "Jet_n": "uint8"}


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """A file with four baskets per branch: in the second one, the event has no jet; muons have other numbers."""
    path = tmp_path_factory.mktemp("lists") / "lists.root"
    rng = np.random.default_rng(5)
    with uproot.recreate(path) as file:
        record = ", ".join(f'"{name.partition("_")[2]}": {kind}' for name, kind in TYPES.items())
        jets = ak.types.from_datashape(f"var * {{{record}}}", highlevel=False)
        muons = ak.types.from_datashape('var * {"pt": float32}', highlevel=False)
        tree = file.mktree("Events", {"Jet": jets, "Muon": muons, "run": np.dtype("int32")})
        for size in SIZES:
            columns = {}
            for name, kinds in (("Jet", TYPES), ("Muon", {"Muon_pt": "float32"})):
                counts = rng.integers(0, 4, size) * (size > 1)
                flat = {key.partition("_")[2]: rng.integers(0, 200, counts.sum()) for key in kinds}
                typed = {key: flat[key].astype(kinds[f"{name}_{key}"]) for key in flat}
                columns[name] = ak.unflatten(ak.zip(typed), counts)
            tree.extend({**columns, "run": np.arange(size, dtype="int32")})
    return path


@pytest.mark.parametrize(
    ("start", "stop"), [(0, 50), (0, 0), (3, 3), (7, 8), (6, 9), (0, 7), (7, 7), (8, 38), (49, 50), (5, 50)]
)
def test_any_range_of_events(path, start, stop):
    with uproot.open(path) as file:
        tree = file["Events"]
        known = KnownOffsets()
        for name in (*TYPES, "Muon_pt"):
            branch = tree[name]
            assert reads_faster(branch.interpretation)
            expected = branch.array(entry_start=start, entry_stop=stop)
            found = branch.array(
                JaggedNumbers(branch.interpretation.content, known), entry_start=start, entry_stop=stop
            )
            assert str(found.type) == str(expected.type)
            assert ak.array_equal(found, expected)


def test_fields_of_one_collection_share_their_offsets(path):
    file = open_tree(str(path), "Events")
    columns = file.read([*TYPES, "Muon_pt", "run"], 5, 45)
    file.close()
    offsets = [columns[name].layout.offsets for name in TYPES]
    assert all(each.data is offsets[0].data for each in offsets)
    assert len(offsets[0].data) == 41
    assert offsets[0][0] == 0
    assert columns["Muon_pt"].layout.offsets.data is not offsets[0].data
    assert len(columns["Muon_pt"].layout.content) == ak.sum(ak.num(columns["Muon_pt"]))


def test_equal_lengths_in_baskets_of_other_sizes():
    known = KnownOffsets()
    first = known.of(4, [np.array([0, 4, 12]), np.array([8, 8])])
    assert known.of(4, [np.array([0, 4, 12, 12])]) is first
    assert known.of(1, [np.array([0, 1]), np.array([5, 7, 7])]) is first
    assert known.of(4, [np.array([0, 4, 12])]) is not first
    assert first.data.tolist() == [0, 1, 3, 3]


def test_other_branches_are_left_to_uproot(path):
    with uproot.open(path) as file:
        assert not reads_faster(file["Events"]["run"].interpretation)
        assert not reads_faster(file["Events"]["nJet"].interpretation)
