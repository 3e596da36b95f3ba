"""Print the oldest supported version of each dependency, as constraints for pip."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
extras = project["optional-dependencies"]
for requirement in [*project["dependencies"], *extras["parquet"], *extras["credentials"], *extras["corrections"]]:
    print(re.sub(r">=", "==", requirement, count=1))
