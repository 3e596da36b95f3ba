"""A tiny package with a build backend of its own, so that wheels are built without network and without setuptools."""

from __future__ import annotations

from pathlib import Path

_BACKEND = """\
import pathlib, zipfile

NAME, VERSION = "{name}", "{version}"
INFO = NAME + "-" + VERSION + ".dist-info/"


def _wheel(folder, files):
    files = dict(files)
    files[INFO + "METADATA"] = "Metadata-Version: 2.1\\nName: " + NAME + "\\nVersion: " + VERSION + "\\n"
    files[INFO + "WHEEL"] = "Wheel-Version: 1.0\\nGenerator: tiny\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n"
    files[INFO + "entry_points.txt"] = "[console_scripts]\\n" + NAME + "-say = " + NAME + ":say\\n"
    files[INFO + "RECORD"] = "".join(name + ",,\\n" for name in files)
    name = NAME + "-" + VERSION + "-py3-none-any.whl"
    with zipfile.ZipFile(pathlib.Path(folder, name), "w") as archive:
        for place, text in files.items():
            archive.writestr(place, text)
    return name


def build_wheel(folder, config_settings=None, metadata_directory=None):
    source = pathlib.Path(NAME)
    return _wheel(folder, {{path.as_posix(): path.read_text() for path in source.rglob("*") if path.is_file()}})


def build_editable(folder, config_settings=None, metadata_directory=None):
    return _wheel(folder, {{"_" + NAME + ".pth": str(pathlib.Path().resolve()) + "\\n"}})


def get_requires_for_build_wheel(config_settings=None):
    return []


def get_requires_for_build_editable(config_settings=None):
    return []
"""


def write_project(folder: Path, name: str, version: str = "1.0", *, says: str = "hello") -> Path:
    """Write a package with a function, a data file, a console script ``<name>-say``, and a file that no wheel has."""
    package = folder / name
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(
        "from pathlib import Path\n\n\ndef say():\n    print(Path(__file__).with_name('words.txt').read_text(), end='')\n"
    )
    (package / "words.txt").write_text(f"{says}\n")
    (folder / "tests").mkdir()
    (folder / "tests/secret-of-the-user.txt").write_text("nobody packs this\n")
    (folder / "backend.py").write_text(_BACKEND.format(name=name, version=version))
    (folder / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
        f'[project]\nname = "{name}"\nversion = "{version}"\n'
    )
    return folder
