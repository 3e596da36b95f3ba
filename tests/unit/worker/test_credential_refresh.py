"""Secrets that come with tasks: the latest version wins, nobody else can read them, and nothing shows them."""

from __future__ import annotations

import json
import os
import pickle
import stat

import pytest

from fasthep_parsl.setup_folder import SECRETS_VARIABLE, SetupFolder
from fasthep_parsl.tasks import Task
from fasthep_parsl.worker.credential_refresh import VERSIONS, TaskSecrets, install_secrets, read_secrets
from fasthep_parsl.worker.file_transfer import TaskWithFiles

OLD, NEW = TaskSecrets({"token": b"old"}, {"token": 10}), TaskSecrets({"token": b"new"}, {"token": 20})


@pytest.fixture
def node(tmp_path, monkeypatch):
    folder = tmp_path / "node" / "secrets"
    folder.mkdir(parents=True, mode=0o700)
    (folder / "token").write_bytes(b"of the block")
    (folder / "token").chmod(0o600)
    monkeypatch.setenv(SECRETS_VARIABLE, str(folder))
    return folder


def test_the_version_that_was_written_last_stays(node):
    for carried in (OLD, NEW, OLD):  # tasks arrive in any order
        install_secrets(carried)
    assert (node / "token").read_bytes() == b"new"
    assert stat.S_IMODE((node / "token").stat().st_mode) == 0o600
    assert {path.name for path in node.iterdir()} == {"token", VERSIONS}


def test_a_secret_with_the_same_content_stays_untouched(node):
    before = (node / "token").stat()
    install_secrets(TaskSecrets({"token": b"of the block"}, {"token": 10}))
    after = (node / "token").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert json.loads((node / VERSIONS).read_text()) == {"token": 10}


@pytest.mark.parametrize("damage", ["", '{"token": 2', "[]"])
def test_versions_that_a_killed_worker_left_are_no_obstacle(node, damage):
    (node / VERSIONS).write_text(damage)
    install_secrets(NEW)
    assert (node / "token").read_bytes() == b"new"


def test_a_node_that_sees_the_run_directory_is_left_alone(tmp_path, monkeypatch):
    monkeypatch.delenv(SECRETS_VARIABLE, raising=False)
    install_secrets(NEW)
    assert not [*tmp_path.rglob("token")]


def test_what_is_read_is_what_was_written_last(tmp_path):
    folder = SetupFolder(tmp_path)
    folder.write_secret("token", b"first")
    first = read_secrets(tmp_path, ["token"])
    path = folder.write_secret("token", b"second")
    os.utime(path, ns=(0, first.versions["token"] + 1))  # a coarse clock
    second = read_secrets(tmp_path, ["token"])
    assert (first.contents["token"], second.contents["token"]) == (b"first", b"second")
    assert second.versions["token"] > first.versions["token"]
    with pytest.raises(FileNotFoundError):
        read_secrets(tmp_path, ["proxy"])


def test_no_text_shows_a_secret():
    task = Task("map", 1, 0, ("plan.json", ""), "run")
    packed = TaskWithFiles(task, {}, NEW)
    assert pickle.loads(pickle.dumps(packed)) == packed
    assert not [text for text in (repr(packed), str(packed), f"{packed.secrets}") if "new" in text]
