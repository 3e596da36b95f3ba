"""What ``env`` prints: facts of an archive, its largest packages, the store; also on a narrow terminal."""

from __future__ import annotations

import io
import time
from pathlib import Path

import pytest

from fasthep_parsl.cli import env
from fasthep_parsl.cli.console import Screen
from fasthep_parsl.cli.main import invoke
from fasthep_parsl.driver.archive_verification import ArchiveCheck
from fasthep_parsl.packing.inventory import KeptArchive
from fasthep_parsl.packing.manifest import Manifest
from fasthep_parsl.packing.package_sizes import PackageSize
from fasthep_parsl.packing.store import StoredArchive

MANIFEST = Manifest(
    kind="packed-prefix", name="my analysis", platform="linux-64", python="3.11.7", packages={"numpy": "2.4.6"},
    built=("fasthep-parsl", "mytools"), hash="ab" * 32, unpacked=584_715_660, files=14_446, glibc="2.28",
)  # fmt: skip
SIZES = [PackageSize(f"package-{number}", "1.0", 10**7 * (20 - number), 100) for number in range(15)]


@pytest.fixture(params=[80, 120])
def screen(request, monkeypatch):
    screen = Screen()
    screen.file, screen.width = io.StringIO(), request.param
    monkeypatch.setattr(env, "Screen", lambda **_: screen)
    return screen


def lines(screen):
    found = screen.file.getvalue().splitlines()
    assert max(map(len, found)) <= screen.width
    return found


def test_facts_and_the_largest_packages(screen):
    env._facts(screen, MANIFEST, Path("/home/me/environment.tar.zst"), 176_368_783)
    env._largest(screen, SIZES)
    text = "\n".join(lines(screen))
    for part in ("176.4 MB (30%)", "584.7 MB in 14,446 files", "glibc 2.28", "fasthep-parsl, mytools (not installed"):
        assert part in " ".join(text.split())
    rows = [line.split() for line in text.splitlines() if "package-" in line]
    assert [row[0] for row in rows] == [f"package-{number}" for number in range(env.LARGEST)]
    assert rows[0][1:] == ["1.0", "200.0", "MB", "100"]
    assert " ".join(text.splitlines()[-1].split()) == "3 more 210.0 MB 300", "all sizes add up"


def test_the_store_as_a_table(screen, monkeypatch):
    archive = StoredArchive(manifest=MANIFEST, sha256="0" * 64, size=176_368_783, mtime_ns=1)
    kept = [
        KeptArchive(
            Path("/cache/environments/key/environment.tar"), archive, time.mktime((2026, 5, 1, 9, 5, 0, 0, 0, -1))
        )
    ]
    monkeypatch.setattr(env, "kept_archives", lambda: kept)
    env.show(None, "local", ())
    text = " ".join("\n".join(lines(screen)).split())
    assert "abababababab 3.11.7 176.4 MB 584.7 MB 2026-05-01 09:05 my analysis" in text
    assert "1 in /cache/environments: 176.4 MB" in text


def test_an_empty_store_says_how_to_fill_it(screen, monkeypatch):
    monkeypatch.setattr(env, "kept_archives", list)
    env.show(None, "local", ())
    assert "fasthep-parsl env pack WORKFLOW" in "\n".join(lines(screen))


@pytest.mark.parametrize("ok", [True, False])
def test_verify_prints_each_check_and_returns_the_exit_code(screen, monkeypatch, tmp_path, ok):
    path = tmp_path / "archive"
    path.write_bytes(b"")
    long = "a message with many words " * 8

    def verify(_path, report, _progress):
        report(ArchiveCheck("content", ok=True, found="14,446 files"))
        report(ArchiveCheck("start", ok=ok, found=long))
        return ok

    monkeypatch.setattr(env, "verify_environment", verify)
    assert env.verify(str(path)) == (0 if ok else 1)
    text = screen.file.getvalue()
    assert "✓ content" in text
    assert ("✓ start" if ok else "✗ start") in text


@pytest.mark.parametrize(
    "arguments",
    [
        ["show", "abcd1234"],
        ["verify", "abcd1234"],
        ["verify", "no/such/file.tar"],
        ["pack", "x.yaml", "--layout", "zip"],
        ["pack", "none.yaml"],
    ],
)
def test_bad_input_ends_with_2_and_no_traceback(arguments, capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("FASTHEP_PARSL_CACHE", str(tmp_path))
    assert invoke(["env", *arguments]) == 2
    error = capsys.readouterr().err
    assert "error[E1" in error or "--layout is `prefix` or `pixi-pack`" in error
    assert "Traceback" not in error
