"""The start of an environment on a node, with a real bash, real archives and a Python that takes no time."""

from __future__ import annotations

import os
import shlex
import shutil
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fasthep_parsl.packing.start_script import StartOptions, start_script
from small_environment import OLD, SmallEnvironment, StartNode, remove_tree, unpackings

SHA = "ab" * 32
SMALL = SmallEnvironment()
IS_ROOT = os.getuid() == 0


@pytest.fixture
def node(tmp_path):
    return StartNode(tmp_path / "block")


# --- the text -----------------------------------------------------------------------------------------------------


def test_the_text_is_bash_whatever_is_in_it(tmp_path):
    odd = SmallEnvironment(name='it\'s "$(touch /nowhere/x)" `x` \\ é').manifest()
    for options in (StartOptions(), StartOptions('~/$X "q" `id`', "gz", 0.1, 5, library_path=True)):
        text = start_script(odd, SHA, options)
        done = subprocess.run(["bash", "-n"], input=text, text=True, capture_output=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        assert text == start_script(odd, SHA, options), "pure"
        name = next(line for line in text.splitlines() if line.startswith("fasthep_env_name="))
        shown = subprocess.run(
            ["bash", "-c", f'{name}; printf %s "$fasthep_env_name"'], capture_output=True, check=True
        )
        assert shown.stdout.decode() == odd.name


@pytest.mark.parametrize("checksum", ["", "ab", SHA.upper(), f"{SHA}\n", f"sha256:{SHA}", "../" + SHA])
def test_only_checksums_are_accepted(checksum):
    with pytest.raises(ValueError, match="is not a SHA-256"):
        start_script(SMALL.manifest(), checksum)
    with pytest.raises(ValueError, match="is not a SHA-256"):
        start_script(SmallEnvironment(hash=checksum or "x").manifest(), SHA)


# --- a start ------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("compression", ["zst", "gz"])
@pytest.mark.parametrize("folder", ["plain", "a b", "it's $HOME `x` \\ é"])
def test_a_start_unpacks_once_and_activates(tmp_path, compression, folder):
    node = StartNode(tmp_path / folder / "block", SmallEnvironment(format=compression))
    node.scratch = tmp_path / "odd é *[x] scratch"
    job = {"PYTHONPATH": "/of/submission", "PYTHONHOME": "/nowhere", "LD_LIBRARY_PATH": "/lib64", "VIRTUAL_ENV": "/v"}
    first, second = node.run(env=job), node.run(env=job)
    assert unpackings(first.stderr) == 1, first.stderr
    assert f"unpacked the environment `small` into {node.prefix} in " in first.stderr
    assert second.stderr == ""
    for found in (node.used(first), node.used(second)):
        assert found["FASTHEP_PARSL_PREFIX"] == str(node.prefix)
        assert found["FASTHEP_PARSL_ENVIRONMENT"] == SMALL.manifest().hash
        assert found["PATH"] == f"{node.prefix}/bin:{os.environ['PATH']}"
        assert (found["PYTHONNOUSERSITE"], found["LD_LIBRARY_PATH"], found["ACTIVATED"]) == ("1", "/lib64", "yes")
        assert not {"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV"} & set(found)
        assert not [name for name in found if name.startswith("fasthep_env")]
    assert node.left() == []
    assert stat.S_IMODE(node.own.stat().st_mode) == 0o700


def test_files_are_as_they_were_packed_and_belong_to_the_user(node):
    node.run(before=("umask 0",))
    assert (node.prefix / "relocated").read_text() == f"{node.prefix}\n", "relocated for its final place"
    path = node.prefix / "lib" / "package 3" / "file3"
    assert (path.stat().st_uid, path.stat().st_mtime) == (os.getuid(), OLD)
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert stat.S_IMODE((node.prefix / "bin" / "python").stat().st_mode) == 0o755


def test_the_library_path_is_changed_only_if_asked(node):
    node.write(library_path=True)
    assert node.used(node.run())["LD_LIBRARY_PATH"] == f"{node.prefix}/lib"
    found = node.used(node.run(env={"LD_LIBRARY_PATH": "/a:/b"}))
    assert found["LD_LIBRARY_PATH"] == f"{node.prefix}/lib:/a:/b"


CALLERS = [
    "set -e",
    "set -u",
    "set -eEu -o pipefail; trap 'echo TRAPPED >&2' ERR; unset TMPDIR",
    "set -C -f",
    "set -o posix",
    "set -a",
    "umask 277; IFS=/.",
    "shopt -s nullglob failglob extglob nocasematch; CDPATH=/usr; GLOBIGNORE='*'",
    "cd() { echo mine; }; rm() { echo mine; }; unset -f cd rm; exec 10</dev/null 11</dev/null 3>&2",
    "export TAR_OPTIONS=--exclude=file3 POSIXLY_CORRECT=1 GZIP=-k BLOCKSIZE=1",
    "LC_ALL=C; LANG=de_DE.UTF-8; SECONDS=5; unset HOSTNAME",
]


@pytest.mark.slow
@pytest.mark.parametrize("before", CALLERS)
def test_the_options_of_the_caller_do_no_harm_and_stay(node, before):
    flags = node.folder / "flags"
    seen = f'echo "$-$BASHOPTS" >|{flags}'
    lines = {
        "before": (before, seen),
        "lines": (f'[ "$-$BASHOPTS" = "$(cat {flags})" ] || exit 8', "umask 022; set +fC"),
    }
    for expected in (1, 0):
        done = node.run("echo started", **lines)
        assert (done.returncode, done.stdout) == (0, "started\n"), done.stderr
        assert unpackings(done.stderr) == expected
        assert "TRAPPED" not in done.stderr
    assert node.left() == []


def test_without_node_sh_it_says_who_it_is(tmp_path, node):
    node.scratch.mkdir()
    script = f'set -eu; . {shlex.quote(str(node.folder / "environment.sh"))}; echo "$ACTIVATED"; declare -F; set'
    env = node.env(FASTHEP_PARSL_FILES=str(node.folder))
    done = subprocess.run(["bash", "-c", script], env=env, capture_output=True, text=True, check=True)
    assert done.stderr.startswith("fasthep-parsl: unpacked the environment")
    assert done.stdout.startswith("yes\n")
    assert "declare -f fasthep" not in done.stdout, "its functions are gone"


def test_scripts_of_packages_see_a_plain_shell(tmp_path):
    activate = "false; x=$NOT_THERE; declare GLOBAL=1; export SEEN=$CONDA_PREFIX; set -u; set -e; false || true; set +e"
    node = StartNode(tmp_path / "block", SmallEnvironment(activate=activate))
    done = node.run(lines=('[ "$GLOBAL" = 1 ]', "echo $- >&2"), before=("set -eu",))
    node.used(done)
    assert set("eu") <= set(done.stderr.splitlines()[-1])


# --- archives that are not as they were packed --------------------------------------------------------------------

DAMAGES = {
    "empty": lambda data: b"",
    "one byte": lambda data: data[:1],
    "half": lambda data: data[: len(data) // 2],
    "last byte missing": lambda data: data[:-1],
    "flipped in the middle": lambda data: (
        data[: len(data) // 2] + bytes([data[len(data) // 2] ^ 1]) + data[len(data) // 2 + 1 :]
    ),
    "flipped at the end": lambda data: data[:-1] + bytes([data[-1] ^ 1]),
    "longer": lambda data: data + b"\0",
    "twice": lambda data: data + data,
    "no archive": lambda data: b"x" * len(data),
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("damage", "compression"),
    [*((damage, "zst") for damage in DAMAGES), *((damage, "gz") for damage in ("half", "last byte missing", "longer"))],
)
def test_a_damaged_archive_is_noticed_and_nothing_stays(tmp_path, damage, compression):
    node = StartNode(tmp_path / "block", SmallEnvironment(files=100, size=2000, format=compression))
    good = node.archive.read_bytes()
    node.archive.write_bytes(DAMAGES[damage](good))
    done = node.run("echo started")
    assert (done.returncode, done.stdout) == (1, "")
    assert f"the archive `{node.archive}` is damaged: its sha256 is " in done.stderr
    assert done.stderr.splitlines()[-1].endswith(
        'worker_init ended with code 1 at: . "$FASTHEP_PARSL_FILES/environment.sh"'
    )
    assert len(done.stderr.splitlines()) == 2, done.stderr
    assert node.left() == []


def test_an_archive_that_is_not_there(node):
    node.archive.unlink()
    done = node.run()
    assert done.returncode == 1
    assert f"environment `small`: the archive `{node.archive}` cannot be read" in done.stderr
    assert node.left() == []


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        (SmallEnvironment(relocate="echo first; echo relocation: too long; exit 1"), "small`: no folder of this node can be used: {scratch}: the environment does not work there: relocation: too long (code 1)"),
        (SmallEnvironment(verify="echo its Python is 3.1 >&2; exit 1"), "small`: it does not work on this node: its Python is 3.1 (code 1)"),
        (SmallEnvironment(verify="kill -SEGV $$"), "small`: it does not work on this node: its Python ended without a message (code 139)"),
    ],
)  # fmt: skip
def test_an_environment_that_does_not_work_says_why_and_does_not_stay(tmp_path, environment, said):
    node = StartNode(tmp_path / "block", environment)
    done = node.run()
    assert done.returncode == 1
    assert said.format(scratch=node.scratch) in done.stderr
    assert node.left() == []
    assert not node.prefix.exists()


# --- nodes that cannot use it -------------------------------------------------------------------------------------


def programs(tmp_path, *without, **fakes):
    """Return a PATH with the programs that the script needs, except some, and with fakes."""
    folder = tmp_path / "programs"
    folder.mkdir(exist_ok=True)
    names = "bash cat chmod cp date df dirname env find flock getconf gzip hostname id mkdir mktemp mv readlink rm sed sh sha256sum sleep stat tail tar tee timeout touch tr true uname zstd"
    for name in names.split():
        if name not in without and not (folder / name).exists() and (path := shutil.which(name)):
            (folder / name).symlink_to(path)
    for name, text in fakes.items():
        (folder / name).unlink(missing_ok=True)
        (folder / name).write_text(f"#!/bin/bash\n{text}\n")
        (folder / name).chmod(0o755)
    return {"PATH": f"{folder}:/usr/bin-is-not-here"}


def only(env):
    """Make the node's script keep PATH as it is: node.sh appends the folders of the system."""
    return {"before": (f"PATH={shlex.quote(env['PATH'])}",), "env": env}


@pytest.mark.parametrize(
    ("machine", "said"),
    [
        ("aarch64", "this node is aarch64, the environment `small` is for linux-64: use other nodes, or pack it for linux-aarch64"),
        ("ppc64le", "this node is ppc64le, the environment `small` is for linux-64: use other nodes, or pack it for linux-ppc64le"),
    ],
)  # fmt: skip
def test_a_node_of_another_platform(tmp_path, machine, said):
    node = StartNode(tmp_path / "block", SmallEnvironment(platform="linux-64"))
    done = node.run(**only(programs(tmp_path, uname=f"echo {machine}")))
    assert done.returncode == 1
    assert said in done.stderr
    assert not node.own.exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("here", "needed", "works"),
    [
        ("glibc 2.17", "2.28", False), ("glibc 2.28", "2.28", True), ("glibc 2.9", "2.28", False),
        ("glibc 3.0", "2.28", True), ("glibc 2.34.9000", "2.28", True), ("2.28", "2.28", True), ("glibc 2.5", "", True),
    ],
)  # fmt: skip
def test_the_c_library_of_the_node(tmp_path, here, needed, works):
    node = StartNode(tmp_path / "block", SmallEnvironment(glibc=needed))
    done = node.run(**only(programs(tmp_path, getconf=f'[ "$1" = GNU_LIBC_VERSION ] && echo {here}')))
    assert (done.returncode == 0) == works, done.stderr
    if not works:
        said = f"this node has {here}, the environment `small` needs 2.28: use nodes with a newer system"
        assert said in done.stderr


def test_a_node_without_zstd_says_what_to_do(tmp_path, node):
    done = node.run(**only(programs(tmp_path, "zstd")))
    assert done.returncode == 1
    assert (
        "neither the program `zstd` nor a Python with a zstd module: set `format: gz` in `environment`" in done.stderr
    )


def test_a_node_with_a_python_that_knows_zstd(tmp_path, node):
    module = tmp_path / "modules" / "pyzstd.py"
    module.parent.mkdir()
    zstd = shutil.which("zstd")
    module.write_text(
        "import io, subprocess\n"
        f"def open(file): return io.BytesIO(subprocess.run([{zstd!r}, '-dcq'], stdin=file, stdout=-1).stdout)\n"
    )
    call = only(programs(tmp_path, "zstd", python3=f'exec {sys.executable} "$@"'))
    done = node.run(**{**call, "env": {**call["env"], "PYTHONPATH": str(module.parent)}})
    assert unpackings(done.stderr) == 1, done.stderr
    assert (node.prefix / "lib" / "package 3" / "file3").stat().st_size == 100


def test_gz_needs_no_zstd(tmp_path):
    node = StartNode(tmp_path / "block", SmallEnvironment(format="gz"))
    done = node.run(**only(programs(tmp_path, "zstd")))
    assert unpackings(done.stderr) == 1, done.stderr


@pytest.mark.parametrize("fake", ["echo 'Error setting digest' >&2; exit 1", "exit 0", 'exec sha256sum "$@"'])
def test_a_node_with_an_openssl_of_its_own(tmp_path, node, fake):
    done = node.run(**only(programs(tmp_path, openssl=fake)))
    assert unpackings(done.stderr) == 1, done.stderr
    node.archive.write_bytes(node.archive.read_bytes()[:-1])
    remove_tree(node.prefix)
    assert "is damaged: its sha256 is " in node.run(**only(programs(tmp_path))).stderr


@pytest.mark.parametrize("without", ["find", "flock"])
def test_a_node_without_some_programs(tmp_path, node, without):
    for expected in (1, 0):
        done = node.run(**only(programs(tmp_path, without)))
        assert done.returncode == 0, done.stderr
        assert unpackings(done.stderr) == expected
    assert node.left() == []


# --- where --------------------------------------------------------------------------------------------------------


def test_the_first_folder_of_the_job_is_used(tmp_path, node):
    node.write(cache="")
    folders = {name: tmp_path / name for name in ("_CONDOR_SCRATCH_DIR", "SLURM_TMPDIR", "TMPDIR")}
    for folder in folders.values():
        folder.mkdir()
    env = {name: str(folder) for name, folder in folders.items()}
    for name, folder in folders.items():
        found = node.used(node.run(env=env))
        assert Path(found["FASTHEP_PARSL_PREFIX"]).is_relative_to(folder), name
        env[name] = str(tmp_path / "not there")


def test_the_folder_of_the_option_is_made_and_is_the_only_one(tmp_path, node):
    node.write(cache="~/x/$SITE")
    found = node.used(node.run(env={"HOME": str(tmp_path), "SITE": "a b"}))
    assert Path(found["FASTHEP_PARSL_PREFIX"]).is_relative_to(tmp_path / "x" / "a b")
    node.write(cache="$UNKNOWN")
    done = node.run(env={"TMPDIR": str(tmp_path)}, before=("set -u",))
    assert done.returncode == 1
    assert "no folder of this node can be used: : its name is empty" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda own: own.symlink_to("/tmp"), "is not a folder but something else, such as a link: remove it"),
        (lambda own: own.symlink_to("/nowhere"), "is not a folder but something else, such as a link: remove it"),
        (lambda own: own.write_text(""), "is not a folder but something else, such as a link: remove it"),
        (lambda own: (own.mkdir(), own.chmod(0o770)), "other users can enter `"),
        (lambda own: own.parent.chmod(0o777), "all users can rename folders in it, since it has no sticky bit"),
        pytest.param(
            lambda own: (own.mkdir(mode=0o700), os.chown(own, 4321, 4321)), "belongs to another user",
            marks=pytest.mark.skipif(not IS_ROOT, reason="only root can give folders away"),
        ),
        (lambda own: (own.mkdir(mode=0o700), (own / "environments").write_text("")), "cannot be made"),
    ],
)  # fmt: skip
def test_a_folder_that_is_not_ours_is_refused_and_the_next_one_is_used(tmp_path, node, make, said):
    node.write(cache="")
    node.scratch.mkdir()
    (tmp_path / "next").mkdir()
    make(node.own)
    done = node.run(env={"SLURM_TMPDIR": str(node.scratch), "TMPDIR": str(tmp_path / "next")})
    assert Path(node.used(done)["FASTHEP_PARSL_PREFIX"]).is_relative_to(tmp_path / "next")
    assert f"warning: folders that cannot be used for the environment: {node.scratch}: " in done.stderr
    assert said in done.stderr
    node.write(cache="$SCRATCH")
    done = node.run()
    assert done.returncode == 1
    assert f"environment `small`: no folder of this node can be used: {node.scratch}: " in done.stderr


def test_a_sticky_folder_of_all_users_is_used(node):
    node.scratch.mkdir()
    node.scratch.chmod(0o1777)
    assert unpackings(node.run().stderr) == 1


@pytest.mark.parametrize("name", ["a:b", "a$b", "it's", 'a"b', "a`b", "a\\b", "a\nb"])
def test_a_name_that_scripts_cannot_contain(tmp_path, node, name):
    (tmp_path / name).mkdir()
    node.scratch = tmp_path / name
    done = node.run()
    assert done.returncode == 1
    assert "PATH and scripts cannot contain such a name" in done.stderr


def test_an_environment_that_was_moved_is_unpacked_again(tmp_path, node):
    node.run()
    node.own.rename(tmp_path / node.own.name)
    node.scratch = tmp_path
    done = node.run()
    assert "or it was moved: it is unpacked again" in done.stderr
    assert (node.prefix / "relocated").read_text() == f"{node.prefix}\n"


# --- an environment that is no longer as it was -------------------------------------------------------------------

FILE = "lib/package 3/file3"
CHANGES = {
    "a file is gone": lambda prefix: (prefix / FILE).unlink(),
    "a file has other content of the same size and time": lambda prefix: (
        (prefix / FILE).write_bytes(bytes(100)), os.utime(prefix / FILE, (OLD, OLD)),
    ),
    "compiled code was replaced": lambda prefix: (prefix / "lib" / "__pycache__" / "x.pyc").write_bytes(b"compileD"),
    "a file was replaced": lambda prefix: ((prefix / FILE).unlink(), (prefix / FILE).write_bytes(bytes(100))),
    "a folder is gone": lambda prefix: remove_tree(prefix / "lib"),
    "Python is gone": lambda prefix: (prefix / "bin" / "python").unlink(),
    "the record is gone": lambda prefix: (prefix / ".ready").unlink(),
    "the record is empty": lambda prefix: (prefix / ".ready").write_text(""),
    "the script is gone": lambda prefix: (prefix / ".fasthep-parsl" / "activate.sh").unlink(),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("change", CHANGES)
def test_a_damaged_environment_is_unpacked_again(node, change):
    node.run()
    CHANGES[change](node.prefix)
    node.wait_a_minute()
    done = node.run()
    assert unpackings(done.stderr) == 1
    assert ("were removed or changed" in done.stderr) == ("record is gone" not in change)
    assert (node.prefix / FILE).read_bytes() != bytes(100)
    assert node.left() == []
    assert node.run().stderr == ""


def test_what_python_writes_is_no_damage(node):
    node.run()
    (node.prefix / "lib" / "__pycache__" / "y.pyc").write_text("new")
    (node.prefix / "lib" / "package 3" / "__pycache__").mkdir()
    (node.prefix / "lib" / "package 3" / "__pycache__" / "y.pyc").write_text("new")
    (node.prefix / "lib" / "cache").write_text("new")
    node.wait_a_minute()
    assert node.run().stderr == ""


@pytest.mark.slow
def test_starts_within_a_minute_look_at_all_files_once(node, tmp_path):
    """Sixteen starts at once would else each walk through the files of an environment."""
    node.run()
    node.wait_a_minute()
    calls = tmp_path / "calls"
    counted = tmp_path / "counted"
    counted.mkdir()
    find = counted / "find"
    find.write_text(f'#!/bin/bash\necho "$$" >>{calls}\nsleep 0.2\nexec {shutil.which("find")} "$@"\n')
    find.chmod(0o755)
    environment = {**node.env(), "PATH": f"{counted}:{os.environ['PATH']}"}
    starts = [subprocess.Popen(node.command(block=number), env=environment) for number in range(8)]
    assert [start.wait(60) for start in starts] == [0] * 8
    assert len(calls.read_text().splitlines()) == 1
    node.wait_a_minute()
    subprocess.run(node.command(), env=environment, check=True)
    assert len(calls.read_text().splitlines()) == 2


def test_a_check_in_the_future_does_not_count(node):
    node.run()
    later = time.time() + 3600
    os.utime(node.prefix / ".checked", (later, later))
    (node.prefix / FILE).unlink()
    assert unpackings(node.run().stderr) == 1


# --- room ---------------------------------------------------------------------------------------------------------


def ages(*nodes):
    for age, node in enumerate(reversed(nodes)):
        os.utime(node.prefix / ".used", (OLD - age, OLD - age))


@pytest.mark.slow
def test_the_least_recently_used_environments_are_removed(tmp_path):
    nodes = [StartNode(tmp_path / f"block {name}", SmallEnvironment(name=name), limit=10_000) for name in "abcd"]
    for node in nodes[:3]:
        assert "removed" not in node.run().stderr
    ages(*nodes[:3])
    nodes[0].run()  # a was used last now
    done = nodes[3].run()
    assert done.stderr.count("to make room: it was not in use") == 1
    assert [node.prefix.exists() for node in nodes] == [True, False, True, True]
    assert unpackings(nodes[1].run().stderr) == 1


@pytest.mark.slow
def test_an_environment_in_use_is_not_removed(tmp_path):
    nodes = [StartNode(tmp_path / f"block {name}", SmallEnvironment(name=name), limit=1) for name in "abc"]
    busy = nodes[0].start("trap '' HUP; echo up; read -r _ </dev/fd/9; [ -x \"$FASTHEP_PARSL_PREFIX/bin/python\" ] && echo there",
                          before=(f"mkfifo {shlex.quote(str(tmp_path / 'end'))}", f"exec 9<>{shlex.quote(str(tmp_path / 'end'))}"))  # fmt: skip
    assert busy.stdout.readline() == "up\n"
    os.utime(nodes[0].prefix / ".used", (OLD, OLD))  # the oldest one
    assert nodes[1].run().returncode == 0
    done = nodes[2].run()
    assert (nodes[0].prefix.exists(), nodes[1].prefix.exists()) == (True, False), done.stderr
    with (tmp_path / "end").open("w") as end:
        end.write("\n")
    assert busy.communicate(timeout=30)[0] == "there\n"
    assert unpackings(nodes[1].run().stderr) == 1
    assert not nodes[0].prefix.exists(), "nobody uses it any more"


def test_a_full_folder_is_not_tried_and_nothing_is_removed_in_vain(tmp_path, node):
    (tmp_path / "next").mkdir()
    other = StartNode(tmp_path / "other", SmallEnvironment(name="other"))
    other.run()
    node.write(cache="")
    df = f'[[ "$*" = *{tmp_path}/next* ]] && exec {shutil.which("df")} "$@"\necho "x 100 99 1 99% /a b"'
    env = programs(tmp_path, df=df)
    done = node.run(**only({**env, "TMPDIR": str(node.scratch), "_CONDOR_SCRATCH_DIR": ""}))
    assert "it is too full: 101304 bytes are needed, 1024 are free" in done.stderr
    assert other.prefix.exists()
    found = node.used(node.run(**only({**env, "SLURM_TMPDIR": str(node.scratch), "TMPDIR": str(tmp_path / "next")})))
    assert Path(found["FASTHEP_PARSL_PREFIX"]).is_relative_to(tmp_path / "next")


def test_a_file_system_without_numbers_is_tried(tmp_path, node):
    done = node.run(**only(programs(tmp_path, df='echo "btrfs - - - - /"')))
    assert unpackings(done.stderr) == 1
