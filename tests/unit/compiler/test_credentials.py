"""Credentials in plans: which are used, which are refused before any file is opened, which warnings there are."""

from __future__ import annotations

import re
import time

import pytest

from credential_samples import proxy, token, write
from fasthep_parsl.cli.main import invoke
from fasthep_parsl.compiler import compile as compiling
from fasthep_parsl.compiler.credentials import reads_urls
from fasthep_parsl.driver.api import compile_plan, load
from fasthep_parsl.errors import ConfigError, CredentialError

URL = "root://server.fasthep.test//store/a.root"


@pytest.fixture(autouse=True)
def nobody(monkeypatch, tmp_path):
    """A user without credentials of this machine."""
    for name in ("X509_USER_PROXY", "BEARER_TOKEN", "BEARER_TOKEN_FILE", "HTGETTOKENOPTS", "OIDC_SOCK"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    for module in ("fasthep_parsl.credentials.x509", "fasthep_parsl.credential_files.proxies"):
        monkeypatch.setattr(f"{module}.default_proxy", lambda: tmp_path / "default")


@pytest.fixture
def written(flow, small_files):
    def written(*credentials, file=None, **execution):
        files = [str(file or small_files / "b.root")]
        section = {"pools": flow.pools, "credentials": list(credentials), **execution}
        return flow.write([flow.stage("Sum", "probe.sum", [])], execution=section, datasets={"small": files})

    return written


@pytest.fixture
def no_headers(monkeypatch):
    def refuse(*_args, **_options):
        raise AssertionError("a file was opened")

    monkeypatch.setattr(compiling, "read_inputs", refuse)


def used(plan):
    return [item.kind for item in plan.credentials]


def test_a_required_credential_that_does_not_suffice_is_refused_before_headers(written, tmp_path, no_headers):
    path = write(tmp_path / "proxy", proxy(-1, vo="cms"))
    flow = written({"kind": "x509", "path": str(path), "vo": "cms"})
    with pytest.raises(CredentialError, match="expired 1 h") as error:
        flow.compile()
    (problem,) = error.value.problems
    assert (problem.code, problem.key) == ("E115", "execution.credentials[0].path")
    assert problem.where.file == str(flow.path)
    assert problem.hint == "run `voms-proxy-init -voms cms`"
    assert error.value.exit_code == 4


@pytest.mark.parametrize(
    ("fields", "key"),
    [
        ({"scope": "storage.write:/"}, "scope"),
        ({"audience": "root://x"}, "audience"),
        ({"issuer": "https://x"}, "issuer"),
        ({"min_lifetime": "9h"}, "min_lifetime"),
    ],
)
def test_the_place_is_the_key_that_demands_it(written, tmp_path, no_headers, fields, key):
    path = write(tmp_path / "token", token(aud="y"))
    with pytest.raises(CredentialError) as error:
        written({"kind": "scitoken", "path": str(path), **fields}).compile()
    assert [problem.key for problem in error.value.problems] == [f"execution.credentials[0].{key}"]


def test_mistakes_in_the_file_are_told_together(written, no_headers):
    flow = written("x509", chunk_size="many")
    with pytest.raises(ConfigError) as error:
        compile_plan(flow.path)
    assert {problem.code for problem in error.value.problems} == {"E105", "E115"}


def test_the_spellings_of_flow_are_read(written, tmp_path):
    path = str(write(tmp_path / "p", proxy(12)))
    assert used(written({"type": "x509", "path": path}).compile()) == ["x509"]
    with pytest.raises(ConfigError, match="`type` and `kind` differ"):
        written({"type": "x509", "kind": "scitoken"}).compile()
    for one in ({"type": "x509", "path": path}, {"kind": "x509", "path": path}):
        flow = written(one)
        flow.path.write_text(
            flow.path.read_text().replace('"credentials": [{', '"credentials": {').replace("}]}}", "}}}")
        )
        assert flow.path.read_text().count("[{") < 5
        assert used(flow.compile()) == ["x509"]


def test_paths_begin_at_the_workflow_file(written, flow):
    write(flow.folder / "my.pem", proxy(12))
    assert written({"kind": "x509", "path": "my.pem"}).compile().credentials[0].params["path"] == str(
        flow.folder / "my.pem"
    )


def test_one_that_is_not_required_is_used_for_urls_if_it_is_good(written, tmp_path, monkeypatch):
    good = {"kind": "scitoken", "path": str(write(tmp_path / "token", token())), "required": False}
    bad = {"kind": "x509", "path": str(write(tmp_path / "proxy", proxy(-1))), "required": False}
    plan = written(good, bad).compile()
    assert (used(plan), plan.pools[0].secrets) == ([], ())
    assert not [text for text in plan.warnings if "credential" in text]
    loaded = load(written(good, bad, {"kind": "x509", "required": False}, file=URL).path)
    found = compiling.inspect_credentials(loaded)
    assert [item.used for item in found.items] == [True, False, False]
    assert (found.unused, found.problems) == ({1, 2}, ())
    assert [text.split(":")[0] for text in found.warnings] == ["credential `x509` is not used"]


def test_where_urls_can_be(written, flow):
    assert not reads_urls(load(written().path))
    assert not reads_urls(load(written(file="file:///tmp/a.root").path))
    assert reads_urls(load(written(file=URL).path))
    flow.write([flow.stage("Sum", "probe.sum", [])], datasets={"a": ["b"]})
    loaded = load(flow.path, overrides=[f"execution.storage={{prefixes: ['{URL}']}}"], tolerant=True)
    assert reads_urls(loaded)


def test_a_life_that_is_shorter_than_a_job_is_a_warning(written, tmp_path):
    pools = {"default": {"workers": 1, "resources": {"walltime": "8h"}}}
    path = str(write(tmp_path / "proxy", proxy(3)))

    def warnings(**fields):
        plan = written({"kind": "x509", "path": path, **fields}, pools=pools).compile()
        return [text for text in plan.warnings if text.startswith("credential")]

    (text,) = warnings()
    assert "jobs run for up to 8 h, and nothing renews it" in text
    until = time.mktime(time.strptime(re.search(r"until (\d+-\d+-\d+ \d+:\d+)", text)[1], "%Y-%m-%d %H:%M"))
    assert 2.5 * 3600 < until - time.time() < 3.1 * 3600
    assert warnings(renew="renew-it") == []
    write(tmp_path / "proxy", proxy(9))
    assert warnings() == []


def test_results_do_not_depend_on_credentials(written, tmp_path):
    path = str(write(tmp_path / "proxy", proxy(3)))
    assert written({"kind": "x509", "path": path}).compile().hash == written().compile().hash


def test_wrong_fields_are_reported_with_their_places(written):
    with pytest.raises(ConfigError) as error:
        written({"kind": "x509", "voo": "cms"}, {"kind": "x510"}).compile()
    assert {(p.code, p.key) for p in error.value.problems} == {
        ("E102", "execution.credentials[0].voo"),
        ("E110", "execution.credentials[1]"),
    }


def test_what_is_good_in_the_plan_is_checked_again_when_the_run_starts(written, tmp_path, flow):
    path = write(tmp_path / "token", token())
    plan = written({"kind": "scitoken", "path": str(path)}, backend="local").compile()
    assert flow.run(plan).exit_code == 0
    assert not (flow.folder / "run" / "secrets").exists()
    write(path, token(-7300))
    outcome = flow.run(plan, mode="force")
    assert (outcome.status, outcome.exit_code) == ("failed", 4)
    assert "expired 2 h" in outcome.summary["error"]


def test_the_plan_and_its_table_name_them_without_the_secret(written, tmp_path, capsys):
    content = token()
    flow = written({"kind": "scitoken", "path": str(write(tmp_path / "token", content))})
    assert invoke(["plan", str(flow.path)]) == 0
    assert "credentials of workers: scitoken (path=" in capsys.readouterr().out
    assert not [part for part in content.decode().split(".") if part in flow.compile().model_dump_json()]
