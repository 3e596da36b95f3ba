"""The demo's data on a server that reads credentials, the workflow over them, and the users who may or may not read."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from integration.cluster_runs import ClusterRun, differences, results, write_site

UNSHARED = {
    "shared_filesystem": False,
    "environment": {"kind": "image", "python": sys.executable},
    "queues": {"cpu": {"node": {"cpus": 8, "memory": "32GB"}, "walltime": "1d"}},
    "scaling": {"poll": "1s"},
}
"""Keys of a site whose nodes see nothing of the submit side."""
CONFIGS = Path(__file__).parents[2] / "configs"
PATTERNS = {"data": "data_*.root", "dy": "dy_*.root", "ttbar": "ttbar_*.root", "zz": "zz_*.root"}
"""Datasets of `configs/dimuon.yaml` → their files."""


@dataclass(frozen=True)
class User:
    """Someone with a credential.

    Parameters
    ----------
    name : str
        For names of tests.
    credentials : tuple of mapping
        `credentials` in the site profile.
    env : mapping
        The user's environment variables.
    folder : str
        Where the user's files are on the server: ``protected`` or ``vo``.
    schemes : tuple of str
        URL schemes of the four datasets.
    """

    name: str
    credentials: tuple[Mapping[str, Any], ...] = field(repr=False)
    env: Mapping[str, str] = field(repr=False)
    folder: str = "protected"
    schemes: tuple[str, ...] = ("root", "root", "root", "root")


def users(authority: Any) -> dict[str, User]:
    """Return the users who can read: name → user. Each has a new credential."""
    authorities = {"cert_dir": str(authority.certificates)}
    proxy = {"kind": "x509", **authorities}
    token = {"kind": "scitoken", "audience": "https://localhost", **authorities}
    mixed = ("root", "xroot", "https", "davs")

    def holds(variable: str, path: Path) -> dict[str, str]:
        return {variable: str(path), **authority.env}

    found = [
        User("proxy", (proxy,), holds("X509_USER_PROXY", authority.proxy())),
        User(
            "voms", (proxy | {"vo": "fasthep"},), holds("X509_USER_PROXY", authority.proxy(voms_hours=12)), "vo", mixed
        ),
        User("wlcg", (token,), holds("BEARER_TOKEN_FILE", authority.token_file()), "protected", ("roots", *mixed[1:])),
        User("scitokens", (token,), holds("BEARER_TOKEN_FILE", authority.token_file(profile="scitokens")), "vo", mixed),
    ]
    return {user.name: user for user in found}


def urls(server: Any, folder: str, data: Path, schemes: Iterable[str], port: int | None = None) -> dict[str, list[str]]:
    """Return dataset → URLs of its files, which are in `folder` of the server."""
    return {
        name: [server.url(f"{folder}/{file.name}", scheme, port) for file in sorted(data.glob(pattern))]
        for (name, pattern), scheme in zip(PATTERNS.items(), schemes, strict=True)
    }


def write_dimuon(folder: Path, files: Mapping[str, list[Any]]) -> Path:
    """Write `configs/dimuon.yaml` with other files; return its path."""
    content = yaml.safe_load((CONFIGS / "dimuon.yaml").read_text())
    for dataset in content["data"]["datasets"]:
        dataset["files"] = files[dataset["name"]]
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "dimuon.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def start(
    folder: Path, files: Mapping[str, list[Any]], user: User, site: str = "local", *options: str,
    env: Mapping[str, str] | None = None, program: tuple[str, ...] = ("-m", "fasthep_parsl"), **keys: Any,
) -> ClusterRun:  # fmt: skip
    """Start a run of the user: `env` is that of the batch system, `keys` are further ones of the site profile."""
    flow = write_dimuon(folder, files)
    profile = write_site(folder, site, credentials=[dict(one) for one in user.credentials], **keys)
    options = ("--chunk-size", "200", *options)
    return ClusterRun(flow, profile, *options, env={**user.env, **(env or {})}, program=program)


def assert_same(run: ClusterRun, expected: Mapping[str, Any], seconds: float = 150) -> None:
    """Wait for the end of a run: it has all events, and these results."""
    code, output, _ = run.end(seconds)
    assert code == 0, output
    assert run.summary()["status"] == "complete"
    found = results(run.run_dir)
    assert found.keys() == expected.keys()
    assert differences(expected, found) == []
