"""Credential ``scitoken``: a bearer token, a SciToken or one of the WLCG profile."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Self

from pydantic import Field, model_validator

from fasthep_parsl.credential_files import CredentialFacts, CredentialFileError, CredentialProblem, NoCredentialError
from fasthep_parsl.credential_files.private_files import file_problems, read_file
from fasthep_parsl.credential_files.proxies import VARIABLE, default_proxy
from fasthep_parsl.credential_files.signatures import check_signature
from fasthep_parsl.credential_files.token_scopes import covers
from fasthep_parsl.credential_files.tokens import (
    ENVIRONMENT,
    FILE_VARIABLE,
    RUNTIME_DIR,
    default_places,
    find_token,
    read_token,
    token_text,
)
from fasthep_parsl.credentials.base import CredentialModel, Found
from fasthep_parsl.credentials.clients import authorities, authorities_here, protocol_lines
from fasthep_parsl.credentials.renewal import token_renewal
from fasthep_parsl.interfaces import Renewal, WorkerSetup
from fasthep_parsl.plan import PlanBatchCredential
from fasthep_parsl.resources.validation import wrong_value
from fasthep_parsl.workflow.values import Line, Texts

ANY_AUDIENCE = ("https://wlcg.cern.ch/jwt/v1/any", "ANY")
"""Audiences of tokens that all servers accept: of WLCG, and of SciTokens."""
_WITHOUT_BAD_PROXY = (
    'fasthep_proxy="${X509_USER_PROXY:-}"',
    'if [ ! -s "$fasthep_proxy" ] || [ -n "$(find -L "$fasthep_proxy" -prune -perm /077 2>/dev/null)" ]; then',
    "  unset X509_USER_PROXY XrdSecGSICREATEPROXY",
    "fi",
)
"""Shell lines: a proxy that clients refuse breaks the authentication with tokens, too."""


class SciToken(CredentialModel):
    """A bearer token, found as WLCG's discovery says: BEARER_TOKEN, the file in BEARER_TOKEN_FILE, ``bt_u<uid>``.

    Workers get its path in BEARER_TOKEN_FILE, never the token in a variable. Only you may be able to read the file.
    """

    stored_as: ClassVar[str] = "token"
    noun: ClassVar[str] = "token"
    xrootd_protocol: ClassVar[str] = "ztn"

    scope: Texts = Field((), description="scopes that the token must permit, `storage.read:/store`")
    audience: Line | None = Field(None, description="server for which the token must be meant")
    issuer: Line | None = Field(None, description="URL of the issuer that it must be of")
    oauth_service: Line | None = Field(
        None, description="name of the service in HTCondor's `use_oauth_services`, for `carry: batch`"
    )
    verify: bool = Field(
        False, description="whether to check the signature when a run starts; it needs the network and `scitokens`"
    )

    @model_validator(mode="after")
    def _service_is_named(self) -> Self:
        if self.carry == "batch" and not self.oauth_service:
            hint = "add `oauth_service:`, the name that your pool gives it"
            raise wrong_value("`carry: batch` needs the service that HTCondor gets tokens from", hint)
        return self

    def find(self, environ: Mapping[str, str]) -> Found:
        """Return the token that clients use."""
        path, place = find_token(environ)
        if path is None and place:
            return Found(environ[ENVIRONMENT].encode("utf-8", "surrogateescape"), None, place)
        if path is None:
            looked = ", ".join(f"`{item}`" for item, _ in default_places(environ))
            message = f"there is no token: {ENVIRONMENT} is not set, and there is no token in {looked}"
            raise NoCredentialError(CredentialProblem("missing", message, _elsewhere(environ) or self.advice))
        try:
            return Found(read_file(path, self.noun), path, place)
        except CredentialFileError as error:
            if place != FILE_VARIABLE or error.problem.cause != "missing":
                raise
            message = f"{FILE_VARIABLE} is `{path}`, which does not exist"
            raise CredentialFileError(CredentialProblem("missing", message, f"{self.advice}, or unset it")) from None

    def read(self, content: bytes) -> CredentialFacts:
        """Return what a token states."""
        return read_token(content)

    def worker_setup(self) -> WorkerSetup:
        """Return the name of the token, and the lines that export its path.

        BEARER_TOKEN would win over the file, and cannot be renewed. A proxy that clients refuse would break the
        authentication with tokens, too. HTCondor puts the tokens of ``use_oauth_services`` into a folder of the job
        (its manual, section "Jobs that require credentials").
        """
        brought = self.carry == "batch"
        place = f"$_CONDOR_CREDS/{self.oauth_service}.use" if brought else self.secret_path
        lines = (
            f'export {FILE_VARIABLE}="{place}"',
            f"unset {ENVIRONMENT}",
            *_WITHOUT_BAD_PROXY,
            *authorities(self.cert_dir),
            *protocol_lines(self.xrootd_protocol),
        )
        if brought:
            asked = PlanBatchCredential(kind="oauth", name=self.oauth_service or "")
            return WorkerSetup(lines, batch_credentials=(asked,))
        return WorkerSetup(lines, secrets=(self.stored_as,))

    def variables(self, path: Path) -> Mapping[str, str]:
        """Return the variables with which this process uses the token."""
        return {FILE_VARIABLE: str(path), ENVIRONMENT: "", **authorities_here(self.cert_dir)}

    def cautions(self) -> tuple[str, ...]:
        """Return why the client of XRootD fails here even with a good token: it loads a proxy for TLS if there is one.

        No variable can keep it from looking for the default proxy.
        """
        if os.environ.get(VARIABLE, "").strip():
            return ()  # it is not set for our processes if clients refuse it
        proxy = default_proxy()
        problems = file_problems(proxy, "proxy") if os.path.lexists(proxy) else ()
        return tuple(f"{item.message}, also to connect with a token ({item.hint})" for item in problems)

    @property
    def comes_later(self) -> bool:
        """HTCondor gets the token from the service when a job is submitted."""
        return self.carry == "batch"

    def insufficient(self, facts: CredentialFacts) -> tuple[CredentialProblem, ...]:
        """Return whether the token lacks a scope, or is meant for another server or of another issuer."""
        problems = []
        wanted = [scope for text in self.scope for scope in text.split()]
        lacking = [scope for scope in wanted if not covers(facts.scopes, scope)]
        if lacking:
            message = f"{facts.owner} does not permit {' '.join(lacking)}"
            problems.append(CredentialProblem("scope", message, self.advice))
        if self.audience and self.audience not in facts.audience and not set(ANY_AUDIENCE) & set(facts.audience):
            meant = f"is for {', '.join(facts.audience)}" if facts.audience else "names no audience"
            message = f"{facts.owner} {meant}, `audience` is `{self.audience}`"
            problems.append(CredentialProblem("audience", message, self.advice))
        if self.issuer and facts.issuer.rstrip("/") != self.issuer.rstrip("/"):
            message = f"{facts.owner} is of another issuer than `issuer`, which is `{self.issuer}`"
            problems.append(CredentialProblem("issuer", message, self.advice))
        return tuple(problems)

    def ask(self, content: bytes) -> tuple[tuple[CredentialProblem, ...], tuple[str, ...]]:
        """Return whether the signature is wrong, if `verify` is set."""
        return check_signature(token_text(content)) if self.verify else ((), ())

    def renewal(self) -> Renewal | None:
        """Return the command in `renew`, else that of htgettoken or oidc-agent, if one is set up."""
        explicit = super().renewal()
        if explicit:
            return explicit
        now = time.time()
        return token_renewal(self.inspect(now).facts, os.environ, shutil.which, now, issuer=self.issuer or "")

    @property
    def advice(self) -> str:
        """The command that gets a new token."""
        if self.renew:
            return super().advice
        return "get a new token, for instance with `htgettoken` or `oidc-token`"


def _elsewhere(environ: Mapping[str, str]) -> str:
    """Return what to do if there is a token where clients do not look, because another session has made it."""
    ((path, _),) = default_places({})
    if not environ.get(RUNTIME_DIR) or not path.is_file():
        return ""
    return f"`{path}` exists, but clients do not look there because {RUNTIME_DIR} is set: set {FILE_VARIABLE}={path}"
