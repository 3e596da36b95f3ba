"""Files and secrets of a run: secrets are private at any time, and gone at the end."""

from __future__ import annotations

import os
import stat

import pytest

from fasthep_parsl.errors import SiteError
from fasthep_parsl.setup_folder import LARGE, SECRETS, SetupFolder, is_allowed


@pytest.fixture
def folder(tmp_path):
    return SetupFolder(tmp_path)


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_a_secret_is_private_whatever_the_umask(folder, tmp_path):
    before = os.umask(0)
    try:
        path = folder.write_secret("token", b"one")
    finally:
        os.umask(before)
    assert (path.read_bytes(), mode(path), mode(path.parent)) == (b"one", 0o600, 0o700)
    (tmp_path / SECRETS).chmod(0o755)
    folder.write_secret("token", b"two")
    assert (path.read_bytes(), mode(path.parent)) == (b"two", 0o700)
    assert [item.name for item in path.parent.iterdir()] == ["token"]


def test_a_secret_that_cannot_be_written_leaves_nothing_and_the_old_one(folder, monkeypatch):
    path = folder.write_secret("token", b"one")

    def full(_descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        folder.write_secret("token", b"two")
    assert [(item.name, item.read_bytes()) for item in path.parent.iterdir()] == [("token", b"one")]


def test_what_was_not_prepared_is_refused(folder):
    folder.file("pack").write_text("x")
    secret = folder.write_secret("token", b"x")
    folder.check(["pack"], ["token"])
    with pytest.raises(SiteError, match="`other` was not prepared"):
        folder.check(["other"], [])
    secret.chmod(0o644)
    with pytest.raises(SiteError, match="does not have mode 0600"):
        folder.check([], ["token"])


def test_an_archive_is_removed_when_the_run_ends_and_its_script_is_kept(folder):
    folder.file("environment.sh").write_text("echo")
    folder.file("environment.tar").write_bytes(bytes(LARGE + 1))
    folder.clear()
    assert folder.file("environment.sh").is_file()
    assert not folder.file("environment.tar").exists()


def test_removing_secrets_twice_is_fine(folder, tmp_path):
    folder.write_secret("token", b"x")
    folder.clear()
    folder.clear()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["", ".hidden", "a/b", "../a", "a b", "node.sh", "plan.json", "code", "block.0.out",
                                  "client.key_secret", "server.key", "log_config.pkl", "secrets", "a\n"])  # fmt: skip
def test_names_that_files_of_workers_cannot_have(name):
    assert not is_allowed(name)


def test_progress_goes_to_who_asked_for_it(tmp_path):
    seen = []
    SetupFolder(tmp_path, lambda *report: seen.append(report)).report("packing", 1, 2)
    SetupFolder(tmp_path).report("packing", 1, 2)
    assert seen == [("packing", 1, 2)]


def test_each_writing_of_a_secret_is_a_new_version_also_if_the_clock_goes_back(folder, tmp_path):
    assert folder.secret_versions() == {}
    path = folder.write_secret("token", b"one")
    folder.write_secret("x509", b"other")
    ahead = path.stat().st_mtime_ns + 10**12
    os.utime(path, ns=(ahead, ahead))
    first = SetupFolder(tmp_path).secret_versions()
    folder.write_secret("token", b"two")
    second = folder.secret_versions()
    assert second["token"] > first["token"] == ahead
    assert second["x509"] == first["x509"]
    (path.parent / ".draft").write_bytes(b"")
    assert folder.secret_versions() == second
