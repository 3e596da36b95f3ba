"""What blocks bring to nodes that do not see the run directory, and how it is found there."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
import zmq
import zmq.auth

from fasthep_parsl.blocks.node_checks import CERTIFICATES, check_node, install_certificates
from fasthep_parsl.blocks.scripts import first_scripts
from fasthep_parsl.blocks.staged_files import StagedFiles, on_node, staged_files
from fasthep_parsl.blocks.worker_command import PLACEHOLDERS, Link, worker_command
from fasthep_parsl.setup_folder import is_allowed
from strategy_cases import pool

LINK = Link("login1", "9000", "/run/certificates", "/run/logs", "/run/log_config.pkl")


def test_nothing_is_brought_where_workers_see_the_run_directory(tmp_path):
    assert staged_files(pool(), tmp_path, LINK) == StagedFiles()
    assert on_node(pool(), LINK) == LINK
    assert "--brought" not in worker_command(pool(), LINK)


def test_plan_and_code_are_brought_and_no_folder_of_the_driver_is_named(tmp_path):
    far = pool(shared=False)
    (tmp_path / "code").mkdir()
    keys = tuple(f"/run/certificates/{name}" for name in CERTIFICATES)
    assert staged_files(far, tmp_path, LINK) == StagedFiles((f"{tmp_path}/plan.json", "/run/log_config.pkl"), keys)
    (tmp_path / "code" / "ops.py").touch()
    assert f"{tmp_path}/code" in staged_files(far, tmp_path, LINK).files
    command = " ".join(worker_command(far, on_node(far, LINK)))
    assert "/run/" not in command
    assert " --brought " in command


def test_what_is_shown_before_a_run_says_what_will_be_brought(tmp_path):
    far = pool(shared=False).model_copy(update={"provider": "htcondor"})
    submitted, node = first_scripts(far, tmp_path)
    assert "<run directory>/plan.json" in submitted.text
    assert f"encrypt_input_files = {PLACEHOLDERS.certificates}/client.key_secret" in submitted.text
    assert '--cert_dir="$fasthep_folder"/certificates' in node.text


@pytest.fixture
def brought(tmp_path):
    """A job's folder with the certificates that came with it, and those of the driver."""
    driver = tmp_path / "driver"
    driver.mkdir()
    for name in ("server", "client"):
        zmq.auth.create_certificates(driver, name=name)
    job = tmp_path / "job"
    job.mkdir(mode=0o755)
    for name in CERTIFICATES:
        (job / name).write_bytes((driver / name).read_bytes())
    return driver, job


def test_parsl_finds_the_certificates_and_not_the_driver_s_secret(brought):
    from parsl.curvezmq import ClientContext

    driver, job = brought
    public, secret = zmq.auth.load_certificate(driver / "server.key_secret")
    install_certificates(job / "certificates")
    assert stat.S_IMODE((job / "certificates").stat().st_mode) == 0o700
    files = [path for path in job.rglob("*") if path.is_file()]
    assert not any(secret in path.read_bytes() for path in files)
    context = ClientContext(job / "certificates")
    with context.socket(zmq.DEALER) as socket, zmq.Context() as own, own.socket(zmq.REP) as server:
        server.curve_server, server.curve_publickey, server.curve_secretkey = True, public, secret
        port = server.bind_to_random_port("tcp://127.0.0.1")
        socket.connect(f"tcp://127.0.0.1:{port}")
        socket.send_multipart([b"", b"hello"])
        assert server.poll(10_000)
        assert server.recv() == b"hello"
    context.term()


def test_the_check_of_a_node_installs_them(brought):
    _, job = brought
    words = ["--brought", f"--cert_dir={job}/certificates", "--port=1"]
    assert check_node(words) == words[1:]
    assert {path.name for path in Path(job, "certificates").iterdir()} == {"client.key_secret", "server.key_secret"}


def test_files_and_secrets_of_the_worker_setup_are_brought(tmp_path):
    far = pool(shared=False).model_copy(update={"files": ("pack.tar",), "secrets": ("token",)})
    plain, found = staged_files(pool(shared=False), tmp_path, LINK), staged_files(far, tmp_path, LINK)
    assert set(found.files) - set(plain.files) == {f"{tmp_path}/setup/pack.tar"}
    assert set(found.secrets) - set(plain.secrets) == {f"{tmp_path}/secrets/token"}


def test_no_file_of_a_worker_setup_can_take_the_name_of_another_file_of_a_block(tmp_path):
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "ops.py").touch()
    staged = staged_files(pool(shared=False), tmp_path, LINK)
    names = [Path(path).name for path in (*staged.files, *staged.secrets)]
    used = ["node.sh", "block.0.out", "block.3.node", "certificates", "log", "workers", "secrets"]
    assert len(names) == 5
    assert not [name for name in (*names, *used) if is_allowed(name)]
