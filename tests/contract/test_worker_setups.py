"""Every environment and credential keeps its contract: a pure setup, files that exist once prepared, private secrets."""

from __future__ import annotations

import pickle
import stat
import subprocess
import time
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from pydantic import BaseModel, ValidationError

import kind_examples
from credential_samples import key, pem, proxy, token, write
from fasthep_parsl import registry
from fasthep_parsl.credentials.base import CredentialModel
from fasthep_parsl.environments.base import EnvironmentModel
from fasthep_parsl.errors import SiteError
from fasthep_parsl.setup_folder import SECRETS, SetupFolder, is_allowed
from packing_parts import answering_prefix

CANARY = b"a-secret-that-nobody-may-see"
SECRETS_IN_SAMPLES = [CANARY.decode(), pem(key("proxy")).split(b"\n")[1].decode(), token().split(b".")[0].decode()]
"""Parts of secrets that would show that one has leaked."""
CREDENTIALS = {"x509": proxy, "scitoken": token}
"""Credential → what makes one."""
EXAMPLES = {
    "container": {"image": "docker://ghcr.io/fast-hep/fasthep-parsl:1.0"},
    "image": {"python": "/usr/bin/python3"},
    "shared-prefix": {},
    **kind_examples.given("environments"),
    **kind_examples.given("credentials"),
}
"""Environment or credential → parameters with which it can be prepared on any machine."""
KINDS = [(group, name) for group in ("environments", "credentials") for name in registry.names(group)]
PROBES = [("environments", "probe"), ("credentials", "probe")]


@pytest.fixture(params=[*KINDS, *PROBES], ids="-".join)
def made(request, monkeypatch, tmp_path):
    """An environment or credential with example parameters."""
    group, name = request.param
    if name == "probe":
        place = {"environments": "ProbeEnvironment", "credentials": "ProbeCredential"}[group]
        point = EntryPoint(name, f"probe_setups:{place}", f"fasthep_parsl.{group}")
        monkeypatch.setitem(registry._table(group), name, point)
        write(tmp_path / "source", CANARY)
        params = {"path": str(tmp_path / "source")} if group == "credentials" else {}
    elif name in CREDENTIALS:
        params = {"path": str(write(tmp_path / name, CREDENTIALS[name]()))}
    elif name == "packed-prefix":
        params = {"prefix": str(answering_prefix(tmp_path / "installation"))}
    elif name == "packed-pixi":
        pytest.importorskip("rattler")
        from services.pixi_projects import quick_project

        params = {"manifest": str(quick_project(tmp_path / "project")), "tool": "py-rattler"}
    elif name in EXAMPLES:
        params = EXAMPLES[name]
        if group == "credentials":  # a copy that only this user can read
            params = {**params, "path": str(write(tmp_path / "source", Path(params["path"]).read_bytes()))}
    else:
        pytest.fail(f"{group}: `{name}` has no example: add its parameters to EXAMPLES")
    yield registry.load(group, name)(**params)
    registry.load.cache_clear()


def test_it_is_a_frozen_model_with_described_fields(made):
    model = type(made)
    assert issubclass(model, BaseModel)
    assert model.model_config["frozen"]
    assert model.__doc__
    assert all(field.description for field in model.model_fields.values())
    assert pickle.loads(pickle.dumps(made)) == made
    with pytest.raises(ValidationError, match="surprise"):
        model(**made.model_dump(), surprise=1)


def test_shell_lines_of_the_user_come_first(made):
    if isinstance(made, EnvironmentModel):
        longer = made.model_copy(update={"setup": ("module load gcc",)})
        assert longer.worker_setup().worker_init == (*longer.setup_lines, *made.worker_setup().worker_init)
        assert longer.setup_lines


def test_its_setup_is_the_same_each_time_and_valid(made):
    setup = made.worker_setup()
    assert setup == made.worker_setup()
    names = (*setup.files, *setup.secrets)
    assert len(set(names)) == len(names)
    assert all(map(is_allowed, names))
    script = "\n".join(setup.worker_init)
    done = subprocess.run(["/bin/bash", "-n", "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_what_it_promises_exists_once_it_is_prepared_again_and_again(made, tmp_path):
    folder = SetupFolder(tmp_path / "run")
    for _ in range(2):
        made.prepare(folder)
        folder.check(made.worker_setup().files, made.worker_setup().secrets)
    secrets = tmp_path / "run" / SECRETS
    if made.worker_setup().secrets:
        assert stat.S_IMODE(secrets.stat().st_mode) == 0o700
        assert {stat.S_IMODE(path.stat().st_mode) for path in secrets.iterdir()} == {0o600}
        assert {path.name for path in secrets.iterdir()} == set(made.worker_setup().secrets)
    folder.clear()
    assert not secrets.exists()


def test_it_shows_no_secret(made, tmp_path):
    made.prepare(SetupFolder(tmp_path / "run"))
    shown = [repr(made), str(made), made.model_dump_json(), repr(made.worker_setup()), repr(pickle.dumps(made))]
    if isinstance(made, CredentialModel):
        shown += [repr(made.inspect(time.time())), repr(made.renewal()), repr(made.variables(tmp_path / "x"))]
        shown += [repr(made.inspect(0)), *made.worker_setup().worker_init]
    assert not [text for text in shown for part in SECRETS_IN_SAMPLES if part in text]


def test_a_credential_is_inspected_and_used_here(made, tmp_path):
    if not isinstance(made, CredentialModel):
        return
    seen = made.inspect(time.time())
    assert not seen.problems
    assert seen.facts.describe(time.time())
    assert made.stored_as in made.worker_setup().secrets
    path = tmp_path / "copy"
    assert str(path) in made.variables(path).values()
    assert made.advice
    missing = made.model_copy(update={"path": str(tmp_path / "missing")})
    assert [problem.cause for problem in missing.inspect(time.time()).problems] == ["missing"]
    with pytest.raises(SiteError, match="does not exist"):
        missing.prepare(SetupFolder(tmp_path / "run"))


def test_a_credential_that_others_can_read_is_refused(made):
    if isinstance(made, CredentialModel):
        made.inspect(time.time()).facts.path.chmod(0o644)
        assert [problem.cause for problem in made.inspect(time.time()).problems] == ["mode"]
