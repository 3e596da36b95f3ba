"""Environment ``packed-pixi``: the locked packages of a pixi project are packed, and unpacked on each node."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_validator

from fasthep_parsl.environments.packed import PackedEnvironment
from fasthep_parsl.errors import ConfigError, Problem, SiteError
from fasthep_parsl.packing.pixi.archives import archive_pack, archive_project
from fasthep_parsl.packing.pixi.mistakes import KEY, project_error
from fasthep_parsl.packing.pixi.project import find_manifest
from fasthep_parsl.packing.pixi.provision import PixiTool, open_environment
from fasthep_parsl.packing.store import StoredArchive
from fasthep_parsl.packing.writer import Report
from fasthep_parsl.resources.units import describe
from fasthep_parsl.resources.validation import wrong_value

_PLATFORM = re.compile(r"[A-Za-z0-9][\w.-]*")


def _text(value: object) -> str:
    if not isinstance(value, str | Path) or "\n" in str(value):
        raise wrong_value(f"expected a path, got {describe(value)}", "`pixi.toml`")
    return str(value).strip()


def _platform(value: object) -> str:
    text = value.strip() if isinstance(value, str) else ""
    if not isinstance(value, str) or (text and not _PLATFORM.fullmatch(text)):
        raise wrong_value(f"expected a platform, got {describe(value)}", "`linux-64`, or `linux-aarch64`")
    return text


class PackedPixi(PackedEnvironment):
    """Pack an environment of a pixi project: its locked packages, and what is built from folders and repositories."""

    manifest: Annotated[str, BeforeValidator(_text)] = Field(
        "",
        description="`pixi.toml` or `pyproject.toml` of the project; if empty, the one beside the workflow file, or in "
        "the nearest folder above it",
    )
    environment: str = Field("default", description="name of the environment in the project")
    platform: Annotated[str, BeforeValidator(_platform)] = Field(
        "", description="platform of the nodes, `linux-aarch64`; if empty, that of this machine"
    )
    tool: PixiTool = Field(
        "auto",
        description="what fetches the packages: `pixi-pack`, `py-rattler`, or `auto`: `pixi-pack` if it is in `PATH`",
    )
    pixi_pack: Annotated[str, BeforeValidator(_text)] = Field(
        "",
        description="a pack that pixi-pack has written, `environment.tar` or `environment.sh`, in place of a project",
    )

    @model_validator(mode="after")
    def _one_source(self) -> PackedPixi:
        if self.pixi_pack and self.manifest:
            message = "`manifest` and `pixi_pack` are both set"
            raise wrong_value(message, "remove one: a pack needs no manifest", code="E106")
        return self

    @classmethod
    def located(cls, params: Mapping[str, Any], folder: Path) -> dict[str, Any]:
        """Return the parameters with absolute paths, from the folder of the workflow file."""
        found = dict(params)
        for key in ("manifest", "pixi_pack"):
            if isinstance(found.get(key), str) and found[key].strip():
                found[key] = str((folder / Path(found[key].strip()).expanduser()).absolute())
        if not found.get("manifest") and not found.get("pixi_pack") and (manifest := find_manifest(folder.absolute())):
            found["manifest"] = str(manifest)
        return found

    def check(self) -> None:
        """Read the project and its lock file, and compare them. Nothing is fetched.

        Raises
        ------
        ConfigError
            There is no project or pack, its lock file is missing or does not fit, or a program is missing.
        """
        try:
            if not self.pixi_pack:
                open_environment(self._found_manifest(), self.environment, self.platform, self.tool)
            elif not Path(self.pixi_pack).exists():
                raise project_error(f"there is no pack `{self.pixi_pack}`", "pixi-pack, or `env pack`, writes it")
        except SiteError as error:
            raise ConfigError(Problem("E114", str(error), KEY)) from None

    def pack(self, target: Path, report: Report) -> StoredArchive:
        """Put the archive at `target`: from the store if nothing has changed, else it is packed.

        Raises
        ------
        ConfigError
            There is no project, or its lock file is missing or does not fit.
        SiteError
            A package cannot be fetched, built, installed or packed.
        """
        if self.pixi_pack:
            return archive_pack(Path(self.pixi_pack), target, platform=self.platform, form=self.format, report=report)
        return archive_project(
            self._found_manifest(),
            self.environment,
            target,
            platform=self.platform,
            tool=self.tool,
            form=self.format,
            report=report,
        )

    def _found_manifest(self) -> Path:
        manifest = Path(self.manifest) if self.manifest else find_manifest(Path.cwd())
        if manifest is None:
            hint = "set `manifest` to the `pixi.toml` of your project, or make one with `pixi init`"
            raise project_error("there is no `pixi.toml` beside the workflow file or above it", hint)
        return manifest
