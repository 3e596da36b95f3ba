"""Servers that stop answering in the middle of a run, for a while or for ever."""

from __future__ import annotations

import re

import pytest

from integration.protected import assert_same, start, urls, users
from services.links import Link

pytestmark = [pytest.mark.xrootd, pytest.mark.usefixtures("no_credentials")]

ONE_WORKER = {"pools": {"default": {"workers": 1, "resources": {"cpus": 1, "memory": "2GB"}}}}


def through(link, server, data, scheme="root"):
    return urls(server, "protected/demo", data, (scheme,) * 4, link.port)


@pytest.mark.parametrize("scheme", ["root", "https"])
def test_a_server_that_stops_for_a_while_costs_time(
    authority, protected_server, demo_data, tmp_path, dimuon_results, scheme
):
    user = users(authority)["wlcg"]
    storage = {"open_timeout": "3s", "read_timeout": "2s", "retries": 10}
    target = protected_server.https_port if scheme == "https" else protected_server.port
    with Link(target) as link:
        files = through(link, protected_server, demo_data, scheme)
        run = start(tmp_path, files, user, "local", "--chunk-size", "50", storage=storage, **ONE_WORKER)
        run.wait_until(lambda: run.events("submitted"))
        link.stall()
        before = link.received
        run.wait_until(lambda: link.connections > 1 or link.received > before)
        link.resume()
        assert_same(run, dimuon_results)


def test_a_server_that_stops_for_ever_ends_the_run_with_the_reason(authority, protected_server, demo_data, tmp_path):
    user = users(authority)["proxy"]
    storage = {"open_timeout": "3s", "read_timeout": "2s", "retries": 0}
    with Link(protected_server.port) as link:
        files = through(link, protected_server, demo_data)
        run = start(tmp_path, files, user, "local", "--chunk-size", "50", storage=storage, **ONE_WORKER)
        run.wait_for_results()
        link.stall()
        code, output, _ = run.end(120)
    assert code in {1, 3}, output
    assert f"localhost:{link.port}" in output
    failures = run.summary()["failures"]
    assert failures
    assert all(re.search("answer|connection", failure["message"]) for failure in failures), failures
