"""Variables for the clients of servers: folder of the authorities, protocols of XRootD. For shells of nodes, and here."""

from __future__ import annotations

import os
from pathlib import Path

from fasthep_parsl.interfaces import OTHER_PROTOCOLS

AUTHORITIES = (
    "/etc/grid-security/certificates",
    "/cvmfs/grid.cern.ch/etc/grid-security/certificates",
    "/cvmfs/oasis.opensciencegrid.org/mis/certificates",
)
"""Folders with the certificates of the authorities of the grid."""


def protocol_lines(protocol: str) -> tuple[str, ...]:
    """Return shell lines that let the client of XRootD use a protocol, and none of a credential that is not listed.

    Without them a token that a server does not accept would hide a good proxy, because the client tries one of both.
    A choice of the user stays.
    """
    return (
        'if [ -z "${XrdSecPROTOCOL:-}" ] || [ -n "${fasthep_protocols:-}" ]; then',
        f'  fasthep_protocols="${{fasthep_protocols:+$fasthep_protocols,}}{protocol}"',
        f'  export XrdSecPROTOCOL="$fasthep_protocols,{",".join(OTHER_PROTOCOLS)}"',
        "fi",
    )


def authorities(cert_dir: str | None) -> tuple[str, ...]:
    """Return shell lines that set X509_CERT_DIR to the first folder that exists on the node.

    Parameters
    ----------
    cert_dir : str or None
        Folder to try first. The shell expands it.
    """
    first = f'"{cert_dir}" ' if cert_dir else ""
    rest = " ".join(f'"{folder}"' for folder in ("${X509_CERT_DIR:-}", *AUTHORITIES))
    return (
        f"for fasthep_authorities in {first}{rest}; do",
        '  if [ -d "$fasthep_authorities" ]; then export X509_CERT_DIR="$fasthep_authorities"; break; fi',
        "done",
    )


def authorities_here(cert_dir: str | None) -> dict[str, str]:
    """Return X509_CERT_DIR for this process, empty if no folder exists."""
    for folder in (os.path.expandvars(cert_dir or ""), os.environ.get("X509_CERT_DIR", ""), *AUTHORITIES):
        if folder and Path(folder).is_dir():
            return {"X509_CERT_DIR": folder}
    return {}
