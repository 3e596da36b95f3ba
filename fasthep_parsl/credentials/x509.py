"""Credential ``x509``: an X.509 proxy, with or without the attributes of a virtual organisation."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from fasthep_parsl.credential_files import CredentialFacts, CredentialFileError, CredentialProblem, NoCredentialError
from fasthep_parsl.credential_files.private_files import read_file
from fasthep_parsl.credential_files.proxies import VARIABLE, default_proxy, find_proxy, read_proxy
from fasthep_parsl.credential_files.voms import short_group
from fasthep_parsl.credentials.base import CredentialModel, Found
from fasthep_parsl.credentials.clients import authorities, authorities_here, protocol_lines
from fasthep_parsl.credentials.renewal import proxy_renewal
from fasthep_parsl.interfaces import Renewal, WorkerSetup
from fasthep_parsl.plan import PlanBatchCredential
from fasthep_parsl.workflow.values import Line


class X509(CredentialModel):
    """An X.509 proxy: the file in X509_USER_PROXY, else ``/tmp/x509up_u<uid>``.

    All certificates of its chain and its VO attributes must be valid. Only you may be able to read the file.
    """

    stored_as: ClassVar[str] = "x509"
    noun: ClassVar[str] = "proxy"
    xrootd_protocol: ClassVar[str] = "gsi"

    vo: Line | None = Field(
        None,
        description="virtual organisation that its attributes must be of, `cms`, or a group or role in it, "
        "`/cms/Role=production`",
    )

    def find(self, environ: Mapping[str, str]) -> Found:
        """Return the proxy that clients use."""
        path = find_proxy(environ)
        if path is None:
            message = f"there is no proxy: {VARIABLE} is not set and `{default_proxy()}` does not exist"
            raise NoCredentialError(CredentialProblem("missing", message, self.advice))
        place = VARIABLE if environ.get(VARIABLE, "").strip() else ""
        try:
            return Found(read_file(path, f"{VARIABLE}: proxy" if place else self.noun), path, place)
        except CredentialFileError as error:
            if not place or error.problem.cause != "missing":
                raise
            message = f"{VARIABLE} is `{path}`, which does not exist"
            raise CredentialFileError(CredentialProblem("missing", message, f"{self.advice}, or unset it")) from None

    def read(self, content: bytes) -> CredentialFacts:
        """Return what a proxy states."""
        return read_proxy(content)

    def worker_setup(self) -> WorkerSetup:
        """Return the name of the proxy, and the lines that export its path.

        ``XrdSecGSICREATEPROXY=0`` keeps the client from asking for a password. Without a proxy it would crash the
        client, so it is exported only if the file is there. If HTCondor brings the proxy, it sets the path in the job.
        """
        lines = (
            f'if [ -s "${{{VARIABLE}:-}}" ]; then export XrdSecGSICREATEPROXY=0; else unset XrdSecGSICREATEPROXY; fi',
            *authorities(self.cert_dir),
            *protocol_lines(self.xrootd_protocol),
        )
        if self.carry == "batch":
            return WorkerSetup(lines, batch_credentials=(PlanBatchCredential(kind="x509", name=self.path or ""),))
        return WorkerSetup((f'export {VARIABLE}="{self.secret_path}"', *lines), secrets=(self.stored_as,))

    def variables(self, path: Path) -> Mapping[str, str]:
        """Return the variables with which this process uses the proxy."""
        return {VARIABLE: str(path), "XrdSecGSICREATEPROXY": "0", **authorities_here(self.cert_dir)}

    def insufficient(self, facts: CredentialFacts) -> tuple[CredentialProblem, ...]:
        """Return whether the proxy is of another VO than `vo`."""
        wanted = short_group((self.vo or "").rpartition(":")[2])
        if not wanted:
            return ()
        has = facts.scopes if wanted.startswith("/") else (facts.vo,)
        if wanted in has:
            return ()
        found = f"has {', '.join(facts.scopes) or facts.vo}" if facts.vo else "has no VO attributes"
        message = f"{facts.owner} {found}, `vo` is `{self.vo}`"
        return (CredentialProblem("vo", message, self.advice),)

    def renewal(self) -> Renewal | None:
        """Return the command in `renew`, else ``voms-proxy-init`` if the user's key has no password."""
        explicit = super().renewal()
        if explicit:
            return explicit
        target = Path(self.path or find_proxy(os.environ) or default_proxy()).expanduser()
        now = time.time()
        asked = " ".join(self._vo_option[1:])
        return proxy_renewal(self.inspect(now).facts, target, asked, os.environ, shutil.which, now)

    @property
    def _vo_option(self) -> tuple[str, ...]:
        if not self.vo:
            return ()
        vo = self.vo.strip("/").partition("/")[0]
        return ("-voms", f"{vo}:{self.vo}" if self.vo.startswith("/") else self.vo)

    @property
    def advice(self) -> str:
        """The command that makes a new proxy."""
        return super().advice if self.renew else f"run `{' '.join(('voms-proxy-init', *self._vo_option))}`"
