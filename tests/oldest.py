"""Print the oldest supported version of each dependency, as constraints for pip."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
extras = project["optional-dependencies"]
NAMES = ("parquet", "credentials", "corrections", "onnx", "xgboost")
for requirement in [*project["dependencies"], *(item for name in NAMES for item in extras[name])]:
    print(re.sub(r">=", "==", requirement, count=1))
