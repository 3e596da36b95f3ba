"""The address and port at which workers find the driver. No outside service is used."""

from __future__ import annotations

import fcntl
import socket
import struct
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

import psutil

from fasthep_parsl.errors import SiteError
from fasthep_parsl.plan import PlanPool

LOOPBACK = "127.0.0.1"
EVERYWHERE = "0.0.0.0"  # noqa: S104  (workers come from other machines; the connection is encrypted)
SIOCGIFADDR = 0x8915
"""Request code "get the address of an interface", from linux/sockios.h."""
LONGEST_NAME = 15
"""Longest name of an interface, bytes: IFNAMSIZ of linux/if.h without the final zero."""
SETTLING = 30.0
"""Seconds that an interchange may take to listen at the port that it was given."""

_lock = threading.Lock()
_given: dict[int, float] = {}


@dataclass(frozen=True, slots=True)
class MeetingPoint:
    """The address and port of an interchange.

    Attributes
    ----------
    bind : str
        Address at which it listens.
    addresses : tuple of str
        Addresses that workers try, all at once.
    port : int or None
        Port for workers; None: the interchange chooses one.
    """

    bind: str
    addresses: tuple[str, ...]
    port: int | None = None


def meeting_point(pool: PlanPool, port: int | None = None) -> MeetingPoint:
    """Return the address and port at which the workers of `pool` find the driver.

    Parameters
    ----------
    pool : PlanPool
        The pool.
    port : int, optional
        The port that they use already. Without it, a free port of the site is chosen.

    Raises
    ------
    SiteError
        This machine does not have the interface or address, or all ports are in use.
    """
    wanted = pool.network
    if pool.block is None:
        return MeetingPoint(LOOPBACK, (LOOPBACK,), port)
    if wanted.interface:
        bind = interface_address(wanted.interface)
        found: tuple[str, ...] = (wanted.address or bind,)
    elif wanted.address:
        bind = LOOPBACK if _is_loopback(wanted.address) else EVERYWHERE
        found = (wanted.address,)
    else:
        bind, found = EVERYWHERE, own_addresses()
    if port is None and wanted.ports is not None:
        port = free_port(bind, wanted.ports, pool.name)
    return MeetingPoint(bind, found, port)


def _is_loopback(address: str) -> bool:
    return address == "localhost" or address.startswith("127.")


def interface_address(name: str) -> str:
    """Return the IPv4 address of a network interface.

    Raises
    ------
    SiteError
        There is no such interface, or it has no address. The message lists the interfaces.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as handle:
        try:
            if len(name.encode()) > LONGEST_NAME:  # its beginning can be the name of another interface
                raise OSError
            packed = fcntl.ioctl(handle.fileno(), SIOCGIFADDR, struct.pack("256s", name.encode()))
        except (OSError, ValueError):
            known = ", ".join(sorted(psutil.net_if_addrs()))
            raise SiteError(
                f"`network.interface`: this machine has no interface `{name}` with an address. Interfaces: {known}"
            ) from None
    return socket.inet_ntoa(packed[20:24])


def own_addresses() -> tuple[str, ...]:
    """Return the addresses at which other machines may reach this one: its name first, without loopback."""
    found = [socket.getfqdn()]
    states = psutil.net_if_stats()
    for interface, addresses in psutil.net_if_addrs().items():
        if interface in states and not states[interface].isup:
            continue
        found += [a.address for a in addresses if a.family is socket.AF_INET and not _is_loopback(a.address)]
    return tuple(dict.fromkeys(name for name in found if not _resolves_to_loopback(name))) or (LOOPBACK,)


def _resolves_to_loopback(name: str) -> bool:
    try:
        return _is_loopback(socket.gethostbyname(name))
    except OSError:
        return True


def free_port(bind: str, ports: tuple[int, int], pool: str) -> int:
    """Return the first free port of a range. Two pools get different ports.

    Raises
    ------
    SiteError
        All ports are in use.
    """
    first, last = ports
    with _lock:
        now, found = time.monotonic(), 0
        for port in _free(bind, ports):
            settled = now > _given.get(port, now - 2 * SETTLING) + SETTLING
            found = port if settled else found or port  # the pool's former port, if there is no other
            if settled:
                break
        if found:
            _given[found] = now
            return found
    which = f"port {first} is" if first == last else f"all ports from {first} to {last} are"
    raise SiteError(
        f"pool `{pool}`: {which} in use on {socket.gethostname()}, and workers reach no other port. "
        "Wait for the other run to end, or start this one on another login node."
    )


def _free(bind: str, ports: tuple[int, int]) -> Iterator[int]:
    for port in range(ports[0], ports[1] + 1):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as handle:
            handle.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                handle.bind((bind, port))
            except OSError:
                continue
        yield port
