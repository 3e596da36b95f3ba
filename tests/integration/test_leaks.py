"""No secret of a credential is in anything that a run leaves behind or shows: files, logs at debug level, processes."""

from __future__ import annotations

import base64
import os
import pickle
import re
import subprocess
import sys
import time
import traceback
from pathlib import Path

import pytest

from fasthep_parsl.compiler import CompileOptions, compile_workflow
from fasthep_parsl.driver.api import load
from fasthep_parsl.errors import FastHepError
from integration import debug_logs
from integration.canaries import Watch, canaries, in_files, in_processes
from integration.cluster_runs import write_site
from integration.protected import UNSHARED, User, start, urls, users, write_dimuon

pytestmark = [pytest.mark.xrootd, pytest.mark.usefixtures("no_credentials")]


def test_the_search_finds_what_is_planted(authority, tmp_path):
    """In each form, and in each place."""
    proxy, token = authority.proxy(), authority.token_file()
    for file in (proxy, token):
        secrets = canaries(file)
        copy = tmp_path / "log" / file.name
        copy.parent.mkdir(exist_ok=True)
        for planted in (file.read_bytes(), repr({"a": file.read_bytes()}).encode(), pickle.dumps([file.read_text()])):
            copy.write_bytes(b"x" * 100 + planted)
            assert in_files(secrets, [tmp_path]) == [copy]
        copy.write_bytes(base64.b64encode(b"12" + file.read_bytes()))
        assert in_files(secrets, [tmp_path]) == [copy]
        copy.write_text("nothing")
        assert not in_files(secrets, [tmp_path])
    secrets = canaries(token)
    assert not in_processes(secrets)
    text = token.read_text().strip()
    for command, env in ((["sleep", "60"], {"LEAK": text}), (["sleep", "60", text], {})):
        argv = [sys.executable, "-c", "import time; time.sleep(60)", *command[2:]]
        with subprocess.Popen(argv, env={**os.environ, **env}) as process:
            try:
                until = time.monotonic() + 30
                while not any(str(process.pid) in place for place in in_processes(secrets)):
                    assert time.monotonic() < until
            finally:
                process.kill()


# ---------------------------------------------------------------------------------------------------- runs


DRIVER_LOGS, WORKER_LOGS = {"parsl.log", "interchange.log"}, {"manager.log", "worker_0.log"}


@pytest.fixture
def user(authority):
    """Someone with a proxy and a token."""
    one, other = (users(authority)[name] for name in ("proxy", "wlcg"))
    return User("both", one.credentials + other.credentials, {**one.env, **other.env}, schemes=other.schemes)


def watched(authority, server, data, folder, user, *places, site="local", logs=DRIVER_LOGS | WORKER_LOGS, **keys):
    """Run to the end with all logs; return what the search has found, and where secrets properly were."""
    files = urls(server, "protected/demo", data, user.schemes)
    secrets = canaries(*(Path(path) for name, path in user.env.items() if name != "X509_CERT_DIR"))
    with Watch(secrets, folder / "run", authority.private, *places) as watch:
        run = start(folder, files, user, site, program=(debug_logs.__file__,), **keys)
        code, output, _ = run.end(150)
    assert code == 0, output
    assert not any(secret.decode("latin-1") in output for secret in secrets)
    debugging = {log.name for log in run.run_dir.rglob("*.log") if b"DEBUG" in log.read_bytes()}
    assert debugging >= logs
    assert not (run.run_dir / "secrets").exists()
    return watch


def test_local_runs_leak_nothing(authority, protected_server, demo_data, tmp_path, user):
    watch = watched(authority, protected_server, demo_data, tmp_path, user)
    assert not watch.found
    names = {path.name for path in watch.used}
    assert {name for name in names if not re.fullmatch(r"\.[0-9a-f]{12}", name)} == {
        "x509",
        "token",
    }  # drafts are as private


def test_a_leak_of_a_run_is_found(authority, protected_server, demo_data, tmp_path, user):
    """A site whose shell lines put the token into the environment of the workers, and into a file."""
    lines = ['export LEAK="$(cat "$BEARER_TOKEN_FILE")"', f'cp "$X509_USER_PROXY" {tmp_path}/copy']
    watch = watched(authority, protected_server, demo_data, tmp_path, user, worker_init=lines)
    assert any(place.startswith("environ of") for place in watch.found)
    assert f"{tmp_path}/copy (after the run)" in watch.found


@pytest.mark.condor
def test_runs_without_shared_folders_leak_nothing(
    authority, protected_server, demo_data, hidden_submit, condor_blind, user
):
    folder = hidden_submit / "leaks"
    folder.mkdir()
    watch = watched(
        authority, protected_server, demo_data, folder, user, condor_blind.home,
        site="generic_htcondor", logs=DRIVER_LOGS, env=condor_blind.env, **UNSHARED,
    )  # fmt: skip
    assert not watch.found
    assert any("/execute/" in str(path) for path in watch.used)


# ------------------------------------------------------------------------------------------- plans and errors


def test_plans_and_errors_contain_no_secret(authority, protected_server, demo_data, tmp_path, user, monkeypatch):
    secrets = canaries(*(Path(path) for name, path in user.env.items() if name != "X509_CERT_DIR"))
    for name, value in user.env.items():
        monkeypatch.setenv(name, value)
    flow = write_dimuon(tmp_path, urls(protected_server, "protected/demo", demo_data, user.schemes))
    site = write_site(tmp_path, "local", credentials=[dict(one) for one in user.credentials])
    plan = compile_workflow(load(flow, str(site), ()), CompileOptions(chunk_size=200))
    assert plan.credentials
    shown = [pickle.dumps(plan), repr(plan).encode(), plan.model_dump_json().encode()]
    for file in (user.env["X509_USER_PROXY"], user.env["BEARER_TOKEN_FILE"]):
        Path(file).chmod(0o644)
        with pytest.raises(FastHepError) as caught:
            compile_workflow(load(flow, str(site), ()), CompileOptions(chunk_size=200))
        Path(file).chmod(0o600)
        error = caught.value.with_traceback(caught.value.__traceback__.tb_next)  # without this function's variables
        text = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
        shown += [pickle.dumps(error), repr(error).encode(), str(error).encode(), text.encode()]
    assert not [text[:100] for text in shown if any(secret in text for secret in secrets)]
