"""The command `credentials`: a table for people, JSON and an exit code for scripts, and no secret in either."""

from __future__ import annotations

import json

import pytest
import yaml

from credential_samples import ISSUER, USER, proxy, token, write
from fasthep_parsl.cli.main import invoke


@pytest.fixture(autouse=True)
def nobody(monkeypatch, tmp_path):
    for name in ("X509_USER_PROXY", "BEARER_TOKEN", "BEARER_TOKEN_FILE", "HTGETTOKENOPTS", "OIDC_SOCK"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "runtime"))
    monkeypatch.setenv("COLUMNS", "140")
    for module in ("fasthep_parsl.credentials.x509", "fasthep_parsl.credential_files.proxies"):
        monkeypatch.setattr(f"{module}.default_proxy", lambda: tmp_path / "default")


@pytest.fixture
def site(tmp_path):
    def site(*credentials, walltime="4h"):
        content = {
            "meta": {"description": "far"},
            "strategy": "slurm",
            "queues": {"short": {"walltime": "8h", "default_walltime": walltime}},
            "credentials": list(credentials),
        }
        path = tmp_path / "far.yaml"
        path.write_text(yaml.safe_dump(content))
        return str(path)

    return site


def test_a_user_without_credentials_is_told_where_they_would_be(capsys):
    assert invoke(["credentials"]) == 0
    shown = capsys.readouterr().out
    assert "–  x509        optional  none" in shown
    assert "X509_USER_PROXY is not set" in shown
    assert "BEARER_TOKEN is not set" in shown


def test_good_ones_are_shown_with_their_owner_and_life(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("X509_USER_PROXY", str(write(tmp_path / "proxy", proxy(12.3, vo="cms"))))
    monkeypatch.setenv("BEARER_TOKEN", token(3900).decode())
    assert invoke(["credentials"]) == 0
    shown = capsys.readouterr().out
    for text in (USER, "cms", "12 h", ISSUER, "storage.read:/", "1 h", "BEARER_TOKEN", "nothing renews it"):
        assert text in shown
    assert not [part for part in token().decode().split(".")[:1] if part in shown]


def test_what_does_not_suffice_for_a_site_is_explained(capsys, tmp_path, site):
    path = str(write(tmp_path / "proxy", proxy(3, vo="cms")))
    far = site({"kind": "x509", "path": path, "vo": "atlas"})
    assert invoke(["credentials", "--site", far]) == 4
    shown = capsys.readouterr().out
    assert "✗  x509        required" in shown
    assert "`vo` is `atlas`" in shown
    assert "jobs run for up to 4 h, and nothing renews it" in " ".join(shown.split())
    assert "run `voms-proxy-init -voms atlas`" in shown
    assert invoke(["credentials", "--site", site({"kind": "x509", "path": path}, walltime="2h")]) == 0
    assert invoke(["credentials", "--site", site({"kind": "x509", "path": path, "renew": "renew-it"})]) == 0
    assert "a run renews it with `renew-it`" in capsys.readouterr().out


def test_json_says_the_same(capsys, tmp_path, site):
    path = str(write(tmp_path / "token", token(-100)))
    far = site({"type": "scitoken", "path": path}, {"kind": "x509", "required": False})
    assert invoke(["credentials", "--site", far, "--json"]) == 4
    content = json.loads(capsys.readouterr().out)
    assert (content["suffices"], content["longest_job"]) == (False, 4 * 3600)
    first, second = content["credentials"]
    assert (first["kind"], first["suffices"], first["path"], first["issuer"]) == ("scitoken", False, path, ISSUER)
    assert [problem["cause"] for problem in first["problems"]] == ["expired"]
    assert -3600 < first["seconds_left"] < -99
    assert (second["kind"], second["required"], second["problems"][0]["cause"]) == ("x509", False, "missing")


def test_what_the_batch_system_brings_need_not_be_here(capsys, tmp_path, site):
    path = site({"kind": "scitoken", "carry": "batch", "oauth_service": "scitokens"})
    (tmp_path / "far.yaml").write_text((tmp_path / "far.yaml").read_text().replace("slurm", "htcondor"))
    assert invoke(["credentials", "--site", path]) == 0
    assert "✓  scitoken    required  from the batch system" in capsys.readouterr().out


def test_mistakes_are_problems_with_a_place(capsys, site):
    assert invoke(["credentials", "--site", site({"kind": "x509", "voo": "cms"})]) == 2
    assert "unknown key `voo`" in capsys.readouterr().err
    assert invoke(["credentials", "--site", site({"kind": "x510"})]) == 2
    assert "did you mean `x509`?" in capsys.readouterr().err


def test_a_plan_is_refused_like_a_mistake_but_with_the_code_of_sites(capsys, site, flow, small_files):
    flow.write([flow.stage("Sum", "probe.sum", [])], [small_files / "b.root"], execution={})
    far = site({"kind": "x509", "vo": "cms"})
    for command in ("plan", "run"):
        assert invoke([command, str(flow.path), "--site", far]) == 4
        shown = capsys.readouterr().err
        assert "error[E115]" in shown
        assert "far.yaml" in shown
        assert "run `voms-proxy-init -voms cms`" in shown
        assert "nothing was started" in shown
