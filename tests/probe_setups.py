"""An environment and a credential as packages write them: one brings a file, the other a secret. Tests register them."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from fasthep_parsl.credential_files import CredentialFacts
from fasthep_parsl.credential_files.private_files import read_file
from fasthep_parsl.credentials.base import CredentialModel, Found
from fasthep_parsl.environments.base import EnvironmentModel
from fasthep_parsl.interfaces import FILES, WorkerSetup
from fasthep_parsl.plan import PlanBatchCredential
from fasthep_parsl.setup_folder import SetupFolder

GREETING = "good morning"


class ProbeEnvironment(EnvironmentModel):
    """The Python that runs the tests, and a file."""

    file: str = Field("greeting.txt", description="name of the file")
    python: str = Field(sys.executable, description="Python of the workers")

    def worker_setup(self) -> WorkerSetup:
        lines = (f'export PROBE_GREETING="{FILES}/{self.file}"', 'export PROBE_ORDER="environment"')
        return WorkerSetup((*self.setup_lines, *lines), self.python, files=(self.file,))

    def prepare(self, folder: SetupFolder) -> None:
        folder.report("writing the greeting", 0, len(GREETING))
        folder.file(self.file).write_text(GREETING)
        folder.report("writing the greeting", len(GREETING), len(GREETING))


class ProbeCredential(CredentialModel):
    """A token from a file of the user."""

    noun: ClassVar[str] = "probe token"

    name: str = Field("probe.token", description="name of the secret on workers")

    batch: str = Field("", description="kind of credential that the batch system brings; empty: none")

    @property
    def stored_as(self) -> str:
        return self.name

    def find(self, environ: Mapping[str, str]) -> Found:
        path = Path(environ.get("PROBE_TOKEN_FILE", "/nowhere/probe"))
        return Found(read_file(path, self.noun), path, "PROBE_TOKEN_FILE")

    def read(self, content: bytes) -> CredentialFacts:
        return CredentialFacts("token", subject="probe")

    def worker_setup(self) -> WorkerSetup:
        lines = (f'export PROBE_TOKEN_FILE="{self.secret_path}"', 'PROBE_ORDER="$PROBE_ORDER, credential"')
        asked = (PlanBatchCredential(kind=self.batch),) if self.batch else ()
        return WorkerSetup(lines, secrets=(self.stored_as,), batch_credentials=asked)

    def variables(self, path: Path) -> Mapping[str, str]:
        return {"PROBE_TOKEN_FILE": str(path)}


ENTRY_POINTS = """\
[fasthep_parsl.environments]
probe = probe_setups:ProbeEnvironment
[fasthep_parsl.credentials]
probe = probe_setups:ProbeCredential
"""


def install(folder: Path) -> Path:
    """Install this module as a package into `folder`; with it on PYTHONPATH, both kinds are found."""
    info = folder / "probe_setups-1.0.dist-info"
    info.mkdir(parents=True)
    (folder / "probe_setups.py").write_text(Path(__file__).read_text())
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: probe_setups\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(ENTRY_POINTS)
    (info / "RECORD").write_text("probe_setups.py,,\n")
    return folder
