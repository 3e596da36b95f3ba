"""The comparison of workers' software with the driver's: what counts as a difference, and what the message says."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from fasthep_parsl.analysis_code import metadata, software
from fasthep_parsl.analysis_code.handshake import (
    UNKNOWN,
    ExpectedSoftware,
    differences,
    expected_software,
    installed_software,
    known_differences,
    on_python_path,
    refusal,
)
from fasthep_parsl.analysis_code.metadata import normalised_version, version_of
from fasthep_parsl.plan import Plan, PlanEnvironment, PlanSource

HASH = "0123456789abcdef"
OTHER = "fedcba9876543210"


@pytest.fixture
def site(tmp_path, monkeypatch):
    """Install packages into folders that come first on the path; nothing is imported."""
    made = []

    def install(name, version, *, package=None, folder="site", code=True):
        place = tmp_path / folder
        place.mkdir(exist_ok=True)
        if code:
            (place / name).mkdir()
            (place / name / "__init__.py").write_text("raise RuntimeError('must not be imported')")
        if version:
            info = place / f"{package or name}-{version}.dist-info"
            info.mkdir()
            (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package or name}\nVersion: {version}\n")
            (info / "top_level.txt").write_text(f"{name}\n")
        if str(place) not in sys.path:
            monkeypatch.syspath_prepend(str(place))
        made.append(name)
        _forget()
        return place

    yield install
    _forget()


def _forget():
    for cached in (metadata.module_places, metadata.owners_of, metadata._all_owners, software.identity):
        cached.cache_clear()


def found(**expected):
    return installed_software(expected)


# --- what would be imported -----------------------------------------------------------------------------------


def test_versions_are_those_of_what_would_be_imported(site):
    site("hslib", "1.2")
    assert found(hslib="1.2") == {"hslib": "1.2"}


def test_metadata_without_its_module_does_not_count(site):
    site("hslib", "1.2", folder="real")
    site("hslib", "9.9", folder="first", code=False)
    assert version_of("hslib", "hslib") == "1.2"


def test_a_module_without_metadata_hides_an_installed_one(site):
    site("hslib", "1.2", folder="real")
    site("hslib", "", folder="first")
    assert found(hslib="1.2") == {"hslib": UNKNOWN}


def test_an_editable_installation_has_its_metadata_elsewhere(site):
    site("hslib", "", folder="source")
    site("hslib", "1.2", folder="real", code=False)
    assert found(hslib="1.2") == {"hslib": "1.2"}


def test_what_cannot_be_imported_is_not_installed(site):
    site("hslib", "1.2", code=False)
    assert found(hslib="1.2", nosuchlib="1") == {"hslib": "", "nosuchlib": ""}


def test_modules_whose_package_has_another_name(site):
    site("hslib", "1.2", package="HS_Library")
    assert software.identity("hslib", own=False).startswith("HS_Library 1.2")
    assert found(hslib="HS_Library 1.2") == {"hslib": "HS_Library 1.2"}


def test_content_is_hashed_if_the_driver_has_a_hash(site):
    place = site("hslib", "1.2")
    known = software.identity("hslib")
    expected = ExpectedSoftware({"hslib": known})
    assert differences(expected, installed_software(expected.software)) == ()
    (place / "hslib" / "__init__.py").write_text("edited = True")
    _forget()
    (difference,) = differences(expected, installed_software(expected.software))
    assert str(difference) == "`hslib` 1.2 has other code than that of the driver"


def test_this_package_is_compared_by_content():
    """Its version alone would not notice an edited installation."""
    known = software.software((), ())["fasthep-parsl"]
    assert len(known.split()) == 2
    assert found(**{"fasthep-parsl": known}) == {"fasthep-parsl": known}


def test_a_copy_of_this_package_elsewhere_has_the_same_hash(tmp_path, monkeypatch):
    import shutil

    place = software.module_places("fasthep_parsl")[0]
    copy = tmp_path / "fasthep_parsl"
    shutil.copytree(place, copy, ignore=shutil.ignore_patterns("*.pyc"))
    (copy / "site_profiles").mkdir(exist_ok=True)
    (copy / "site_profiles" / "extra.py").write_text("")
    known = software.identity("fasthep_parsl")
    monkeypatch.setattr(software, "module_places", lambda _name: (copy,))
    software.identity.cache_clear()
    assert software.identity("fasthep_parsl") == known
    software.identity.cache_clear()


def test_nothing_is_imported():
    before = set(sys.modules)
    installed_software({"uproot": "1", "numba": "1", "pyarrow": "1", "parsl": "1"})
    assert not {"parsl"} & (set(sys.modules) - before)


# --- what differs ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2026.05.18", "2026.5.18", True),
        ("1.0", "1.0.0", True),
        ("2.1+cu12", "2.1", False),
        ("2.1+cu12", "2.1+CU12", True),
        ("2.1rc1", "2.1", False),
        ("2.10", "2.1", False),
        ("PyYAML 6.0.2", "pyyaml 6.0.2", True),
        ("PyYAML 6.0.2", "ruamel 6.0.2", False),
        (f"1.0 {HASH}", f"1.0.0 {HASH}", True),
        (f"1.0 {HASH}", f"1.0 {OTHER}", False),
        (HASH, HASH, True),
        (HASH, OTHER, False),
        ("1.0", UNKNOWN, False),
    ],
)
def test_equality(one, other, same):
    assert (not differences(ExpectedSoftware({"lib": one}), {"lib": other})) == same


def test_versions_that_are_none_are_compared_as_text():
    assert normalised_version("unknown") == "unknown"


def test_pyarrow_may_be_missing_unless_it_reads_the_input():
    plain, parquet = (
        expected_software(plan(software={"pyarrow": "20.0"}, source=PlanSource(kind=kind)))
        for kind in ("root_tree", "parquet")
    )
    installed = {"parsl": plain.software["parsl"], "pyarrow": ""}
    assert differences(plain, installed) == ()
    assert [item.package for item in differences(parquet, installed)] == ["pyarrow"]
    assert [item.package for item in differences(plain, {**installed, "pyarrow": "19.0"})] == ["pyarrow"]


def test_the_environment_permits_by_name():
    expected = expected_software(
        plan(software={"numpy": "2.4"}, environment=PlanEnvironment(kind="image", params={"allow": ["NumPy"]}))
    )
    (difference,) = differences(expected, {"parsl": expected.software["parsl"], "numpy": "2.3"})
    assert difference.allowed
    assert refusal([difference], expected) == ""


@pytest.mark.parametrize("name", ["python", "parsl", "fasthep-parsl"])
def test_the_protocol_cannot_be_permitted(name):
    expected = ExpectedSoftware({name: "1.0"}, allow=(name,))
    message = refusal(differences(expected, {name: "2.0"}), expected)
    assert f"`{name}` is 2.0 (driver: 1.0)" in message
    assert "allow" not in message


def test_the_text_is_one_line_and_comes_back():
    expected = ExpectedSoftware({"numpy": "2.4", "it's": 'a "b" $c'}, ("x",), ("pyarrow",), "image")
    assert "\n" not in expected.text()
    assert ExpectedSoftware.from_text(expected.text()) == expected


# --- what the message says ------------------------------------------------------------------------------------


def test_a_refusal_has_everything_at_once():
    expected = ExpectedSoftware(
        {"numpy": "2.4", "numba": "0.62", "mylib": f"1.0 {HASH}", "same": "1"}, environment="shared-prefix"
    )
    different = differences(expected, {"numpy": "1.0", "numba": "", "mylib": f"1.0 {OTHER}", "same": "1"})
    assert refusal(different, expected, "/x/bin/python") == (
        "other software than that of the driver: `numpy` is 1.0 (driver: 2.4), "
        "`numba` is not installed (driver: 0.62), `mylib` 1.0 has other code than that of the driver "
        "(/x/bin/python, environment `shared-prefix`); install the driver's versions there, or permit differences with "
        "`environment: {kind: shared-prefix, allow: [numpy, numba, mylib]}`"
    )


def test_a_refusal_without_an_environment_says_so():
    expected = ExpectedSoftware({"numpy": "2.4"})
    message = refusal(differences(expected, {"numpy": "1.0"}), expected)
    assert "(no `environment` is set)" in message
    assert "{kind: shared-prefix, allow: [numpy]}" in message


# --- environments that are known before a run -----------------------------------------------------------------


def test_prepared_versions_are_compared_without_hashes():
    expected = ExpectedSoftware({
        "python": "3.11", "fasthep-parsl": f"0.1.0 {HASH}", "yaml": "PyYAML 6.0.2", "local": HASH, "numpy": "2.4"
    })  # fmt: skip
    versions = {"python": "3.11.9", "fasthep-parsl": "0.1.0", "pyyaml": "6.0.2", "numpy": "2.4"}
    assert known_differences(expected, versions) == ()
    worse = {**versions, "python": "3.12.1", "pyyaml": "5.0"}
    del worse["numpy"]
    assert [str(item) for item in known_differences(expected, worse)] == [
        "`python` is 3.12 (driver: 3.11)",
        "`yaml` is PyYAML 5.0 (driver: PyYAML 6.0.2)",
        "`numpy` is not installed (driver: 2.4)",
    ]


def test_packages_on_pythonpath_may_come_to_workers_too(site, monkeypatch):
    place = site("hslib", "1.2")
    assert not on_python_path("hslib")
    monkeypatch.setenv("PYTHONPATH", f"/nowhere:{place}")
    assert on_python_path("hslib")


def plan(**facts):
    return Plan(name="p", chunk_size=1, **{"source": PlanSource(), "stages": (), "segments": (), "pools": (), **facts})


def test_the_driver_itself_is_equal():
    expected = expected_software(plan(software=software.software((), ())))
    installed = installed_software(expected.software)
    assert differences(expected, installed) == ()
    assert installed["numpy"] == np.__version__
