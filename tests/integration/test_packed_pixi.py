"""Archives of pixi projects, from a channel in a folder: installed with py-rattler, packed, unpacked in another folder."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tarfile

import pytest

pytest.importorskip("rattler")

import yaml

from fasthep_parsl.environments.packed_pixi import PackedPixi
from fasthep_parsl.errors import SiteError
from fasthep_parsl.packing.archive import read_manifest, verify_archive
from fasthep_parsl.packing.manifest import this_platform
from fasthep_parsl.packing.pixi.archives import archive_pack, archive_project
from fasthep_parsl.packing.pixi.provision import write_pixi_pack
from fasthep_parsl.setup_folder import SetupFolder
from services.conda_channel import PYTHON
from services.pixi_projects import small_project
from tiny_project import write_project

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("no_pixi_programs")]

FAKE_PIXI_PACK = f"""\
#!{sys.executable}
# stands in for pixi-pack: it takes its options, and writes the pack that this package writes
import sys
from pathlib import Path
if sys.argv[1:] == ["--version"]:
    sys.exit(print("pixi-pack 0.0.fake"))
options = dict(zip(sys.argv[1:7:2], sys.argv[2:7:2]))
assert sys.argv[7] == "--ignore-pypi-non-wheel", sys.argv
Path(sys.argv[0]).with_name("called").write_text(repr(sys.argv[1:]))
Path(options["--output-file"]).write_bytes(Path(sys.argv[0]).with_name("environment.tar").read_bytes())
"""


@pytest.fixture(scope="module", autouse=True)
def _unpacked(tmp_path_factory):
    """Unpacked packages are kept for these tests, and not where the user's are."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RATTLER_CACHE_DIR", str(tmp_path_factory.mktemp("rattler")))
        patch.delenv("PIXI_CACHE_DIR", raising=False)
        yield


@pytest.fixture
def newest(tmp_path):
    """The manifest of a locked project with a package from a folder, `mine`."""
    return with_source(small_project(tmp_path / "project"))


def with_source(manifest, name="mine", version="1.0"):
    write_project(manifest.parent / name, name, version)
    return lock_source(manifest, name, version, f"./{name}", f'{{path = "./{name}", editable = true}}')


def lock_source(manifest, name, version, location, spec):
    """Let a project have a package that is no wheel."""
    entry = f"[pypi-dependencies]\n{name} = {spec}"
    manifest.write_text(manifest.read_text().replace("[pypi-dependencies]", entry))
    lock = manifest.with_name("pixi.lock")
    content = yaml.safe_load(lock.read_text())
    content["environments"]["default"]["packages"][this_platform()].append({"pypi": location})
    content["packages"].append({"pypi": location, "name": name, "version": version})
    lock.write_text(yaml.safe_dump(content, sort_keys=False))
    return manifest


def moved(archive, folder):
    """Unpack an archive and relocate it, as the start script does on a node."""
    folder.mkdir(parents=True)
    subprocess.run(["tar", "-xf", archive, "-C", folder], check=True)
    subprocess.run([folder / "bin/python", "-I", "-S", folder / ".fasthep-parsl/relocate.py"], check=True)
    return folder


def run(prefix, program, *arguments):
    return subprocess.run([prefix / "bin" / program, *arguments], capture_output=True, text=True, check=True).stdout


def test_an_archive_works_in_any_folder(newest, tmp_path):
    archive = tmp_path / "environment.tar"
    stored = archive_project(newest, "default", archive)
    shutil.rmtree(tmp_path / "project")
    assert verify_archive(archive) == stored.manifest == read_manifest(archive)
    manifest = stored.manifest
    assert (manifest.kind, manifest.platform, manifest.built) == ("packed-pixi", this_platform(), ("mine",))
    assert manifest.packages == {"greeting": "1.1", "mine": "1.0", "tiny-tool": "0.3"}
    for length in (0, 200):  # also where kernels do not read all of a first line
        prefix = moved(archive, tmp_path / f"node-{length}" / ("x" * max(length - len(str(tmp_path)), 1)))
        assert run(prefix, "greet") == f"hello from {prefix}\n"
        assert run(prefix, "flavour") == f"{prefix}\n"
        assert run(prefix, "tiny") == "tiny\n"
        assert run(prefix, "mine-say") == "hello\n"
        line = f'. "{prefix}/etc/conda/activate.d/flavour.sh"; cat "$FLAVOUR/taste.txt"'
        assert subprocess.run(["/bin/sh", "-c", line], capture_output=True, text=True, check=True).stdout == "sweet\n"
        assert f"{prefix}/share/flavour/taste.txt\0".encode() in (prefix / "share/flavour/flavour.bin").read_bytes()
        assert run(prefix, "python", "-c", "import flavour; print(flavour.HOME)") == f"{prefix}/share/flavour\n"
    user = str(tmp_path / "project").encode()
    assert not [path for path in prefix.rglob("*") if path.is_file() and user in path.read_bytes()]
    tag = f"cpython-{PYTHON.replace('.', '')}"
    assert (prefix / f"lib/python{PYTHON}/site-packages/greeting/__pycache__/__init__.{tag}.pyc").is_file()


def test_sources_from_repositories_and_archives_are_built(tmp_path):
    repository = write_project(tmp_path / "repository", "fromgit", "1.0")
    sdist = write_project(tmp_path / "fromsdist-2.0", "fromsdist", "2.0")
    git = ["git", "-C", repository, "-c", "user.name=a", "-c", "user.email=a@b"]
    for command in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "first"]):
        subprocess.run([*git, *command], check=True)
    commit = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
    write_project(tmp_path / "later", "fromgit", "1.0", says="later")
    shutil.copytree(tmp_path / "later", repository, dirs_exist_ok=True)
    subprocess.run([*git, "commit", "-q", "-a", "-m", "second"], check=True)
    with tarfile.open(tmp_path / "fromsdist-2.0.tar.gz", "w:gz") as tar:
        tar.add(sdist, "fromsdist-2.0")
    sources = {"fromgit": ("1.0", f"git+file://{repository}#{commit}"), "fromsdist": ("2.0", "../fromsdist-2.0.tar.gz")}
    manifest = small_project(tmp_path / "project")
    for name, (version, location) in sources.items():
        lock_source(manifest, name, version, location, f'{{git = "file://{repository}"}}' if "git" in name else '"*"')
    stored = archive_project(manifest, "default", tmp_path / "environment.tar")
    assert stored.manifest.built == ("fromgit", "fromsdist")
    prefix = moved(tmp_path / "environment.tar", tmp_path / "node")
    assert run(prefix, "fromgit-say") == "hello\n"  # the locked commit, not the newest
    assert run(prefix, "fromsdist-say") == "hello\n"


def test_an_environment_that_has_not_changed_is_not_packed_again(newest, tmp_path):
    cache = tmp_path / "cache"
    left = cache / "environments/0123.work"  # by a process that was killed
    left.mkdir(parents=True)
    (left / "file").write_text("half")
    first = archive_project(newest, "default", tmp_path / "first.tar", cache=cache)
    reports = []
    again = archive_project(
        newest, "default", tmp_path / "again.tar", cache=cache, report=lambda *report: reports.append(report[0])
    )
    assert again == first
    assert reports == ["reading the lock file"]
    assert not list((cache / "environments").glob("*.work"))
    (newest.parent / "mine/mine/words.txt").write_text("changed\n")  # the package that is built has changed
    changed = archive_project(newest, "default", tmp_path / "changed.tar", cache=cache)
    assert changed.manifest.hash != first.manifest.hash


def test_a_failure_leaves_nothing(newest, tmp_path):
    next(newest.parent.glob("wheels/*.whl")).write_bytes(b"no wheel")
    with pytest.raises(SiteError, match="tiny-tool"):
        archive_project(newest, "default", tmp_path / "first.tar", cache=tmp_path / "cache")
    assert [path.suffix for path in (tmp_path / "cache/environments").iterdir()] == [".lock"]
    assert not (tmp_path / "first.tar").exists()


def test_a_package_that_cannot_be_built_is_named(newest, tmp_path):
    (newest.parent / "mine/backend.py").write_text("raise RuntimeError('no compiler')\n")
    with pytest.raises(SiteError, match=r"mine.*no compiler"):
        archive_project(newest, "default", tmp_path / "first.tar", cache=tmp_path / "cache")


def test_a_pack_of_pixi_pack_is_used_in_place_of_a_project(newest, tmp_path):
    pack = tmp_path / "pack.tar"
    write_pixi_pack(newest, "default", pack)
    stored = archive_pack(pack, tmp_path / "environment.tar")
    prefix = moved(tmp_path / "environment.tar", tmp_path / "node/prefix")
    assert run(prefix, "mine-say") == "hello\n"
    assert stored.manifest.packages["mine"] == "1.0"
    with pytest.raises(SiteError, match="is for `linux-64`, the nodes are `linux-aarch64`"):
        archive_pack(pack, tmp_path / "environment.tar", platform="linux-aarch64")


def test_pixi_pack_fetches_the_packages_where_the_user_has_it(newest, programs, tmp_path):
    plain = archive_project(newest, "default", tmp_path / "plain.tar", tool="py-rattler", cache=tmp_path / "a")
    folder = programs("pixi-pack", FAKE_PIXI_PACK)
    write_pixi_pack(newest, "default", folder / "environment.tar")
    reports = []
    stored = archive_project(
        newest,
        "default",
        tmp_path / "first.tar",
        cache=tmp_path / "b",
        report=lambda *report: reports.append(report[0]),
    )
    assert "fetching packages with pixi-pack 0.0.fake" in reports
    assert stored.manifest == plain.manifest  # whatever fetched them
    called = eval((folder / "called").read_text())
    assert called[:4] == ["--environment", "default", "--platform", this_platform()]
    assert called[-1] == str(newest)


def test_a_pack_with_other_packages_than_the_locked_ones_is_refused(newest, programs, tmp_path):
    folder = programs("pixi-pack", FAKE_PIXI_PACK)
    write_pixi_pack(newest, "default", folder / "environment.tar")
    with tarfile.open(folder / "environment.tar") as tar:
        tar.extractall(tmp_path / "pack", filter="data")
    repodata = next((tmp_path / "pack/channel").glob("linux*/repodata.json"))
    content = json.loads(repodata.read_text())
    next(record for name, record in content["packages.conda"].items() if "flavour" in name)["version"] = "9"
    repodata.write_text(json.dumps(content))
    with tarfile.open(folder / "environment.tar", "w") as tar:
        tar.add(tmp_path / "pack", ".")
    with pytest.raises(SiteError, match=r"the pack of pixi-pack differs from the lock file in `flavour 2\.0`"):
        archive_project(newest, "default", tmp_path / "first.tar", cache=tmp_path / "cache")


def test_what_pixi_pack_says_is_shown_if_it_fails(newest, programs, tmp_path):
    programs(
        "pixi-pack", "#!/bin/sh\n[ $1 = --version ] || echo 'Error:   × no credentials for the channel' >&2; exit 1\n"
    )
    with pytest.raises(SiteError, match=r"no credentials for the channel; with `tool: py-rattler`"):
        archive_project(newest, "default", tmp_path / "first.tar", cache=tmp_path / "cache")


def test_the_kind_prepares_what_a_node_needs(newest, tmp_path):
    environment = PackedPixi(manifest=str(newest))
    folder = SetupFolder(tmp_path / "run")
    versions = environment.prepare(folder)
    setup = environment.worker_setup()
    folder.check(setup.files, setup.secrets)
    assert versions["greeting"] == "1.1"
    assert versions["python"].startswith(PYTHON)
    assert read_manifest(folder.file("environment.tar")).kind == "packed-pixi"
