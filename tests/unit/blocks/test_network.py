"""Addresses and ports of the driver, with real interfaces and real sockets."""

from __future__ import annotations

import socket
from contextlib import ExitStack, contextmanager

import psutil
import pytest

from fasthep_parsl.blocks import network
from fasthep_parsl.blocks.network import (
    EVERYWHERE,
    LOOPBACK,
    free_port,
    interface_address,
    meeting_point,
    own_addresses,
)
from fasthep_parsl.errors import SiteError
from fasthep_parsl.plan import PlanBlock, PlanNetwork, PlanPool

BLOCK = PlanBlock(memory=1, walltime=60)


def pool(block=BLOCK, **settings):
    return PlanPool(name="cpu", workers=1, block=block, network=PlanNetwork(**settings))


@contextmanager
def listening(address, *ports):
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in ports]
        for handle, port in zip(sockets, ports, strict=True):
            handle.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            handle.bind((address, port))
            handle.listen()
        yield [handle.getsockname()[1] for handle in sockets]


@pytest.fixture
def ports(monkeypatch):
    """Three ports in a row that are free, and that no test before has been given."""
    monkeypatch.setattr(network, "_given", {})
    for first in range(23000, 30000, 7):
        try:
            with listening(EVERYWHERE, first, first + 1, first + 2):
                return first, first + 2
        except OSError:
            continue
    pytest.fail("no free ports")


def test_the_address_of_an_interface():
    assert interface_address("lo") == LOOPBACK
    for name, addresses in psutil.net_if_addrs().items():
        own = [a.address for a in addresses if a.family is socket.AF_INET]
        if own:
            assert interface_address(name) == own[0]


@pytest.mark.parametrize("name", ["ib9", "lo" + "o" * 40, "ä" * 10, "a\0b", ""])
def test_an_unknown_interface_is_an_error_that_lists_the_interfaces(name):
    with pytest.raises(SiteError, match=r"network.interface.*Interfaces: .*\blo\b"):
        interface_address(name)


def test_a_name_that_only_begins_like_an_interface_is_not_it(monkeypatch):
    """Linux looks at 15 bytes."""
    asked = []
    monkeypatch.setattr(network.fcntl, "ioctl", lambda *words: asked.append(words))
    with pytest.raises(SiteError):
        interface_address("enp0s31f6abcdefgh")
    assert asked == []


def test_own_addresses_can_be_reached_by_others():
    found = own_addresses()
    assert found
    assert len(set(found)) == len(found)
    others = [name for name in found if name != LOOPBACK]
    assert all(not socket.gethostbyname(name).startswith("127.") for name in others)
    if others:
        assert LOOPBACK not in found


def test_a_machine_without_a_network_has_its_own_address(monkeypatch):
    monkeypatch.setattr(network.psutil, "net_if_addrs", dict)
    monkeypatch.setattr(network.socket, "getfqdn", lambda: "no.such.host.invalid")
    assert own_addresses() == (LOOPBACK,)


def test_the_first_free_port_of_a_range(ports):
    first, last = ports
    with listening(LOOPBACK, first):
        assert free_port(EVERYWHERE, ports, "cpu") == first + 1
    assert last == first + 2


def test_two_pools_that_start_at_once_get_different_ports(ports):
    assert len({free_port(EVERYWHERE, ports, name) for name in "abc"}) == 3


def test_a_pool_that_starts_anew_gets_its_only_port_again(ports):
    only = (ports[0], ports[0])
    assert free_port(EVERYWHERE, only, "cpu") == free_port(EVERYWHERE, only, "cpu") == ports[0]


def test_a_range_fully_used(ports):
    first, last = ports
    with listening(EVERYWHERE, first, first + 1, last):
        with pytest.raises(SiteError, match=rf"pool `cpu`: all ports from {first} to {last} are in use on "):
            free_port(EVERYWHERE, ports, "cpu")
        with pytest.raises(SiteError, match=rf"port {first} is in use on "):
            free_port(LOOPBACK, (first, first), "cpu")


def test_workers_on_this_machine_use_its_own_address():
    point = meeting_point(pool(block=None, address="login.site.org", ports=(8786, 8786)))
    assert (point.bind, point.addresses, point.port) == (LOOPBACK, (LOOPBACK,), None)


@pytest.mark.parametrize(
    ("settings", "bind", "addresses"),
    [
        ({"address": "login07.site.org"}, EVERYWHERE, ("login07.site.org",)),
        ({"address": "127.0.0.1"}, LOOPBACK, ("127.0.0.1",)),
        ({"address": "localhost"}, LOOPBACK, ("localhost",)),
        ({"interface": "lo"}, LOOPBACK, (LOOPBACK,)),
        ({"interface": "lo", "address": "gateway.site.org"}, LOOPBACK, ("gateway.site.org",)),
    ],
)
def test_where_workers_meet_the_driver(settings, bind, addresses):
    point = meeting_point(pool(**settings))
    assert (point.bind, point.addresses, point.port) == (bind, addresses, None)


def test_without_settings_all_own_addresses_are_tried():
    assert meeting_point(pool()) == network.MeetingPoint(EVERYWHERE, own_addresses(), None)


def test_a_port_of_the_range_unless_one_is_in_use_already(ports):
    first, _ = ports
    assert meeting_point(pool(address="h", ports=ports)).port == first
    assert meeting_point(pool(address="h", ports=ports), 4711).port == 4711
