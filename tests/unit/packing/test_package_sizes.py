"""Which packages make an environment large."""

from __future__ import annotations

import json

import pytest

from fasthep_parsl.errors import SiteError
from fasthep_parsl.packing.archive import pack_installation
from fasthep_parsl.packing.package_sizes import OTHER, PYTHON, archive_sizes
from packing_parts import PACKAGES, SHORT, small_prefix, write


@pytest.fixture
def archive(tmp_path):
    """An archive with a wheel, a package of conda, and files of neither."""
    found = small_prefix(tmp_path / "env")
    site = tmp_path / "env" / PACKAGES
    tag = found.cache_tag
    write(site / "demo/data.bin", bytes(5000))
    write(site / "demo/__pycache__" / f"__init__.{tag}.pyc", b"not compiled")
    write(site / "Demo_Package-1.5.dist-info/RECORD", "demo/__init__.py,,\ndemo/data.bin,,\n../../../bin/tool,,\n")
    write(tmp_path / "env/lib/libbig.so.1", bytes(9000))
    write(tmp_path / "env/share/notes.txt", "nobody's")
    record = {"name": "big", "version": "2.0", "files": ["lib/libbig.so.1"]}
    write(tmp_path / "env/conda-meta/big-2.0-0.json", json.dumps(record))
    pack_installation(found, tmp_path / "environment.tar")
    return tmp_path / "environment.tar"


def test_each_file_counts_for_its_package(archive):
    seen = []
    rows = {row.name: row for row in archive_sizes(archive, lambda *report: seen.append(report))}
    assert (rows["big"].version, rows["big"].size, rows["big"].files) == ("2.0", 9000, 1)
    assert (rows["demo-package"].version, rows["demo-package"].files) == ("1.5", 3), "also a script, by `..`"
    assert rows["demo-package"].size > 5000
    assert rows[PYTHON].files == 2, f"bin/python{SHORT} and os.py"
    assert rows[OTHER].files >= 1
    assert list(rows)[:2] == ["big", "demo-package"], "the largest first"
    assert seen[-1][1] == seen[-1][2] > 0


def test_the_sizes_are_those_of_the_manifest(archive):
    from fasthep_parsl.packing.archive import read_manifest

    manifest, rows = read_manifest(archive), archive_sizes(archive, lambda *_: None)
    assert (sum(row.size for row in rows), sum(row.files for row in rows)) == (manifest.unpacked, manifest.files)


def test_a_truncated_archive_is_refused(archive):
    archive.write_bytes(archive.read_bytes()[:-300])
    with pytest.raises(SiteError, match=r"damaged|cannot be read"):
        archive_sizes(archive, lambda *_: None)
