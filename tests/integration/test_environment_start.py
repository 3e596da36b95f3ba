"""The start of an environment under bad luck: killed at any moment, many at once, no space, no locks, a real Python."""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import re
import shlex
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from small_environment import SmallEnvironment, StartNode, remove_tree, unpackings

MANY = SmallEnvironment(files=4000, size=300)
"""Takes a moment to unpack."""
NO_LOCKS = "exit 66"
"""A `flock` on a file system that has no locks."""


def wait_until(condition, seconds=60.0):
    until = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < until
        time.sleep(0.002)
    return found


def fake(tmp_path, **programs):
    """Return a shell line after which some programs are others."""
    folder = tmp_path / "fakes"
    folder.mkdir(exist_ok=True)
    for name, text in programs.items():
        (folder / name).write_text(f"#!/bin/bash\n{text}\n")
        (folder / name).chmod(0o755)
    return f"PATH={shlex.quote(str(folder))}:$PATH"


def content(prefix):
    """Return what an environment contains, without what the start writes into it."""
    files = (path for path in sorted(prefix.rglob("*")) if path.is_file() and path.parent != prefix)
    return {str(path.relative_to(prefix)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def check_clean(node, expected):
    assert node.left() == []
    assert content(node.prefix) == expected


@pytest.fixture(scope="module")
def pristine(tmp_path_factory):
    """A node with a large environment that nobody disturbed, and what is in the environment."""
    node = StartNode(tmp_path_factory.mktemp("pristine") / "block", MANY)
    assert unpackings(node.run().stderr) == 1
    return node, content(node.prefix)


@pytest.fixture
def many(pristine, tmp_path):
    """A node with the same archive, which has not been unpacked."""
    node = StartNode(tmp_path / "block", SmallEnvironment())
    node.archive.write_bytes(pristine[0].archive.read_bytes())
    node.environment = MANY
    node.write()
    return node


# --- kills --------------------------------------------------------------------------------------------------------


def unpacked(node):
    """Return how many files have been unpacked so far."""
    try:
        found = sum(1 for _ in node.own.glob("environments/.unpack.*/prefix/lib/*/*"))
    except FileNotFoundError:  # they have just been moved
        found = 0
    return MANY.files if node.prefix.exists() else found


def stopped_half_way(node, *args, **options):
    """Start a node, and return the process, stopped while it unpacks; once more if it was ready before."""
    for _ in range(50):
        process = node.start(*args, **options)
        wait_until(lambda: unpacked(node) > 200)
        os.killpg(process.pid, signal.SIGSTOP)
        wait_until(lambda process=process: all("T" in line for line in members(process.pid)))
        if not node.prefix.exists():
            return process
        kill(process)
        remove_tree(node.prefix)
    raise AssertionError("this machine unpacks faster than the test looks")


MOMENTS = {
    "before the lock": lambda node: node.own.exists(),
    "at the start": lambda node: next(node.own.glob("environments/.unpack.*"), None),
    "with some files": lambda node: unpacked(node) > 200,
    "with most files": lambda node: unpacked(node) > 3000,
    "when it has its name": lambda node: node.prefix.exists(),
    "when it is ready": lambda node: (node.prefix / ".ready").exists(),
}


@pytest.mark.parametrize("group", [True, False], ids=["all processes", "the shell alone"])
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_start_after_a_kill_begins_again(many, pristine, moment, group):
    process = many.start("sleep 100")
    wait_until(lambda: MOMENTS[moment](many))
    (os.killpg if group else os.kill)(process.pid, signal.SIGKILL)
    process.wait(30)
    done = many.run("echo started")
    assert (done.returncode, done.stdout) == (0, "started\n"), done.stderr
    assert unpackings(done.stderr) <= 1
    check_clean(many, pristine[1])
    if not group:  # what the shell had started has ended, too
        wait_until(lambda: not members(process.pid) or moment == "when it is ready")
    kill(process)


def members(group):
    """Return the processes of a process group."""
    found = subprocess.run(["ps", "-o", "pid=,stat=", "-g", str(group)], capture_output=True, text=True, check=False)
    return [line for line in found.stdout.splitlines() if "Z" not in line]


def kill(process):
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def test_starts_after_kills_at_random_moments(many, pristine):
    chance = random.Random(20)
    starts = kills = 0
    while kills < 8:  # on any machine: a start that was ready before it was killed does not count
        remove_tree(many.prefix)
        process = many.start("sleep 100")
        number = chance.randrange(MANY.files)
        wait_until(lambda number=number: unpacked(many) >= number)
        time.sleep(chance.uniform(0, 0.02))
        kill(process)
        kills += not (many.prefix / ".ready").exists()
        starts += 1
        assert starts < 80, f"{kills} of {starts} starts were killed before the environment was ready"
    done = many.run()
    assert done.returncode == 0, done.stderr
    check_clean(many, pristine[1])


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGHUP"])
def test_a_start_that_is_told_to_end_leaves_nothing(many, name):
    process = stopped_half_way(many, "sleep 100")
    for sign in (getattr(signal, name), signal.SIGCONT):
        os.killpg(process.pid, sign)
    process.communicate(timeout=120)
    wait_until(lambda: many.left() == [])
    assert not many.prefix.exists()


def test_a_start_that_is_told_to_end_again_and_again_leaves_nothing(many):
    for _ in range(12):
        process = stopped_half_way(many, "sleep 100")
        with contextlib.suppress(ProcessLookupError):  # it ends while it is told
            for sign in (signal.SIGHUP, signal.SIGCONT, *[signal.SIGTERM, signal.SIGHUP] * 15):
                os.killpg(process.pid, sign)
                time.sleep(0.001)
        process.communicate(timeout=120)
        wait_until(lambda: many.left() == [])


def test_a_kill_during_relocation_and_one_during_verification(tmp_path):
    for step in ("relocate", "verify"):
        slow = SmallEnvironment(**{step: f'echo >"{tmp_path}/{step}"; sleep 1000'})
        node = StartNode(tmp_path / f"block {step}", slow)
        process = node.start("true")
        wait_until((tmp_path / step).exists)
        kill(process)
        assert node.left(), "killed half way"
        quick = StartNode(tmp_path / f"block {step}", SmallEnvironment())
        assert unpackings(quick.run().stderr) == 1
        assert quick.left() == []
        remove_tree(quick.own)


# --- many at once -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("locks", [True, False], ids=["flock", "no flock"])
def test_sixteen_starts_unpack_once(many, pristine, tmp_path, locks):
    before = () if locks else (fake(tmp_path, flock=NO_LOCKS),)
    processes = [many.start("echo started", before=before, block=number) for number in range(16)]
    ended = [process.communicate(timeout=120) for process in processes]
    assert [process.returncode for process in processes] == [0] * 16, ended
    assert [out for out, _ in ended] == ["started\n"] * 16
    assert sum(unpackings(err) for _, err in ended) == 1
    check_clean(many, pristine[1])


def test_starts_whose_first_one_is_killed_unpack_once_more(many, pristine):
    first = stopped_half_way(many, "true", block=99)
    processes = [many.start("echo started", block=number) for number in range(6)]
    kill(first)
    ended = [process.communicate(timeout=120) for process in processes]
    assert [out for out, _ in ended] == ["started\n"] * 6
    assert sum(unpackings(err) for _, err in ended) == 1
    check_clean(many, pristine[1])


def test_starts_repair_a_damaged_environment_once(many, pristine):
    many.run()
    remove_tree(many.prefix / "lib" / "package 3")
    many.wait_a_minute()
    processes = [many.start("echo started", block=number) for number in range(8)]
    ended = [process.communicate(timeout=120) for process in processes]
    assert [out for out, _ in ended] == ["started\n"] * 8, ended
    assert sum(unpackings(err) for _, err in ended) == 1
    check_clean(many, pristine[1])


def test_two_environments_at_once(tmp_path):
    nodes = [StartNode(tmp_path / name, SmallEnvironment(name=name)) for name in ("one", "two")]
    processes = [node.start("echo started") for node in nodes]
    ended = [process.communicate(timeout=60) for process in processes]
    assert [unpackings(err) for _, err in ended] == [1, 1]
    assert all((node.prefix / ".ready").exists() for node in nodes)


# --- locks --------------------------------------------------------------------------------------------------------


def test_a_start_that_waits_too_long_says_for_whom(tmp_path):
    node = StartNode(tmp_path / "block", SmallEnvironment(relocate=f'echo >"{tmp_path}/there"; sleep 1000'))
    slow = node.start("true")
    wait_until((tmp_path / "there").exists)
    node.write(timeout=1)
    done = node.run("echo started")
    assert (done.returncode, done.stdout) == (1, "")
    (said,) = [line for line in done.stderr.splitlines() if "has locked" in line]
    assert f"another process has locked `{node.own}/environments` for more than 1 s: process " in said
    assert f" on {os.uname().nodename} since 20" in said
    holder = int(said.rpartition(": process ")[2].split()[0])
    assert os.getpgid(holder) == slow.pid
    kill(slow)


def test_an_archive_that_does_not_come_ends_the_start(tmp_path):
    node = StartNode(tmp_path / "block", timeout=1)
    node.archive.unlink()
    os.mkfifo(node.archive)
    keep = os.open(node.archive, os.O_RDWR)
    done = node.run("echo started")
    os.close(keep)
    assert (done.returncode, done.stdout) == (1, "")
    assert "environment `small`: it could not be unpacked within 1 s" in done.stderr
    assert node.left() == []


@dataclass(frozen=True)
class Holder:
    """What a lock folder says about who made it."""

    pid: int
    started: str
    host: str = os.uname().nodename
    namespace: str = ""

    def write(self, node):
        lock = node.own / "environments" / ".lock"
        lock.mkdir(parents=True)
        node.own.chmod(0o700)
        namespace = self.namespace or str(Path("/proc/self/ns/pid").readlink())
        text = f"process {self.pid} on {self.host} since today\n{self.host}\n{self.pid}\n{self.started} {namespace}\n"
        (lock / "holder").write_text(text)
        return lock


def start_of(pid):
    return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()[19]


def dead_process():
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


@pytest.mark.parametrize("case", ["dead", "another with its number"])
def test_without_flock_the_lock_of_a_dead_process_is_broken(tmp_path, case):
    node = StartNode(tmp_path / "block", timeout=30)
    Holder(dead_process(), "5") if case == "dead" else Holder(os.getpid(), "5")
    holder = Holder(dead_process() if case == "dead" else os.getpid(), "5")
    holder.write(node)
    done = node.run("echo started", before=(fake(tmp_path, flock=NO_LOCKS),))
    assert (done.returncode, done.stdout) == (0, "started\n"), done.stderr
    assert node.left() == []


@pytest.mark.parametrize("case", ["alive", "on another node", "in another container"])
def test_without_flock_a_lock_holds_while_its_process_lives(tmp_path, case):
    holder = {
        "alive": Holder(os.getpid(), start_of(os.getpid())),
        "on another node": Holder(dead_process(), "5", host="other"),
        "in another container": Holder(dead_process(), "5", namespace="pid:[1]"),
    }[case]
    node = StartNode(tmp_path / "block", timeout=1)
    lock = holder.write(node)
    before = (fake(tmp_path, flock=NO_LOCKS),)
    done = node.run("echo started", before=before)
    assert done.returncode == 1
    assert f"for more than 1 s: process {holder.pid} on {holder.host} since today" in done.stderr
    assert lock.is_dir()
    os.utime(lock, (time.time() - 200,) * 2)  # older than the time-out
    done = node.run("echo started", before=before)
    assert (done.returncode == 0) == (case != "alive"), done.stderr


def test_without_flock_nothing_is_removed(tmp_path):
    before = (fake(tmp_path, flock=NO_LOCKS),)
    nodes = [StartNode(tmp_path / name, SmallEnvironment(name=name), limit=1) for name in ("one", "two")]
    for node in nodes:
        assert node.run(before=before).returncode == 0
    assert all((node.prefix / ".ready").exists() for node in nodes)


def test_a_killed_block_no_longer_uses_its_environment(tmp_path):
    node, other = (StartNode(tmp_path / name, SmallEnvironment(name=name), limit=1) for name in ("one", "two"))
    # a block with two generations: each process has the lock
    block = node.start("(echo up; sleep 100) & (sleep 100; true); wait")
    assert block.stdout.readline() == "up\n"
    os.kill(block.pid, signal.SIGKILL)
    block.wait(30)
    other.run()
    assert node.prefix.exists(), "its workers are still there"
    kill(block)
    remove_tree(other.own / "environments" / other.prefix.name)
    other.run()
    assert not node.prefix.exists()


# --- disks --------------------------------------------------------------------------------------------------------


def namespace():
    """Return the command that gives a mount namespace of its own, None if there is none."""
    for words in (["unshare", "-m"], ["unshare", "-rm"]):
        if (
            shutil.which("unshare")
            and subprocess.run([*words, "true"], capture_output=True, check=False).returncode == 0
        ):
            return words
    return None


disks = pytest.mark.skipif(namespace() is None, reason="no mount namespace here")


def run_on(node, options, *, then="true", **env):
    """Start a node whose scratch folder is a small disk of its own; return how it ended, and what was left."""
    node.scratch.mkdir(exist_ok=True)
    mount = f"mount -t tmpfs -o {options} tmpfs {shlex.quote(str(node.scratch))} || exit 99"
    look = f"cd {shlex.quote(str(node.scratch))} && find . -mindepth 1 ! -name .holder | sort >&3"
    script = f"{mount}; {{ {shlex.join(node.command('echo started'))}; }} 3>&-; code=$?; {then}; {look}; exit $code"
    read, write = os.pipe()
    with os.fdopen(read) as left:
        done = subprocess.run(
            [*namespace(), "bash", "-c", f"exec 3>&{write}; {script}"], pass_fds=[write], env=node.env(**env), text=True,
            capture_output=True, check=False, timeout=60,
        )  # fmt: skip
        os.close(write)
        return done, left.read().splitlines()


OWN = "./fasthep-parsl-0"  # every user is root in a namespace of their own
EMPTY = [OWN, f"{OWN}/environments"]


@disks
def test_a_disk_that_is_too_small_is_not_begun(tmp_path):
    node = StartNode(tmp_path / "block", MANY)
    done, left = run_on(node, "size=1m")
    assert (done.returncode, done.stdout) == (1, ""), done.stderr
    need = MANY.manifest().unpacked + 4096 * MANY.manifest().files
    assert re.search(rf"/scratch: it is too full: {need} bytes are needed, \d{{6,7}} are free", done.stderr)
    assert left == EMPTY


@disks
@pytest.mark.parametrize("compression", ["zst", "gz"])
def test_a_disk_that_becomes_full_is_said_with_its_folder_and_nothing_stays(tmp_path, compression):
    node = StartNode(tmp_path / "block", SmallEnvironment(files=400, size=20_000, format=compression))
    text = (node.folder / "environment.sh").read_text()  # the archive takes more than it says, or others write
    node.folder.joinpath("environment.sh").write_text(
        text.replace("fasthep_env_bytes=8001000", "fasthep_env_bytes=1000")
    )
    done, left = run_on(node, "size=4m")
    assert (done.returncode, done.stdout) == (1, ""), done.stderr
    said = done.stderr.splitlines()[-2]
    assert f"no folder of this node can be used: {node.scratch}: it became full: 1655784 bytes are needed, " in said
    assert int(said.rpartition("needed, ")[2].split()[0]) < 1 << 22
    assert left == EMPTY
    done, _ = run_on(node, "size=40m")
    assert unpackings(done.stderr) == 1


@disks
def test_a_disk_that_becomes_full_is_left_for_the_next_folder(tmp_path):
    node = StartNode(tmp_path / "block", SmallEnvironment(files=400, size=20_000), cache="")
    text = (node.folder / "environment.sh").read_text()
    node.folder.joinpath("environment.sh").write_text(
        text.replace("fasthep_env_bytes=8001000", "fasthep_env_bytes=1000")
    )
    (tmp_path / "next").mkdir()
    env = {"SLURM_TMPDIR": str(node.scratch), "TMPDIR": str(tmp_path / "next")}
    done, left = run_on(node, "size=4m", **env)
    assert (done.returncode, done.stdout) == (0, "started\n"), done.stderr
    assert f"into {tmp_path}/next/" in done.stderr
    assert left == EMPTY


@disks
def test_a_disk_without_free_inodes(tmp_path):
    node = StartNode(tmp_path / "block", MANY)
    done, left = run_on(node, "size=100m,nr_inodes=1000")
    assert "it is too full: 4004 files are needed, " in done.stderr
    assert left == EMPTY


@disks
@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("ro", "Read-only file system"),
        ("noexec", "programs cannot run there (it is mounted with noexec), or it is full"),
    ],
)
def test_a_disk_on_which_nothing_can_be(tmp_path, options, said):
    node = StartNode(tmp_path / "block", cache="")
    (tmp_path / "next").mkdir()
    done, left = run_on(node, options, SLURM_TMPDIR=str(node.scratch), TMPDIR=str(tmp_path / "next"))
    assert (done.returncode, done.stdout) == (0, "started\n"), done.stderr
    assert f"warning: folders that cannot be used for the environment: {node.scratch}: {said}" in done.stderr
    assert left in ([], EMPTY)


@disks
def test_room_is_made_on_a_disk_that_is_full_of_environments(tmp_path):
    nodes = [StartNode(tmp_path / name, SmallEnvironment(files=50, size=20_000, name=name)) for name in ("one", "two")]
    other = shlex.join(nodes[1].command("echo started"))
    done, left = run_on(nodes[0], "size=2m", then=f"{other}; code=$?")
    assert (done.returncode, done.stdout) == (0, "started\nstarted\n"), done.stderr
    assert unpackings(done.stderr) == 2
    assert f"/{nodes[0].prefix.name} to make room: it was not in use" in done.stderr
    assert [line for line in left if line.endswith("/bin/python")] == [
        f"{OWN}/environments/{nodes[1].prefix.name}/bin/python"
    ]


@pytest.mark.skipif(shutil.which("systemd-tmpfiles") is None, reason="no systemd-tmpfiles here")
def test_the_system_does_not_remove_an_environment_that_is_in_use_from_a_temporary_folder(tmp_path):
    node, other = (StartNode(tmp_path / name, SmallEnvironment(name=name)) for name in ("one", "two"))
    other.run()
    block = node.start("echo up; sleep 100")
    assert block.stdout.readline() == "up\n"
    rule = tmp_path / "rule.conf"
    rule.write_text(f"d {node.scratch} - - - 1s\n")
    before = content(node.prefix)

    def cleaned():  # once the files are older than a second
        subprocess.run(["systemd-tmpfiles", "--clean", str(rule)], capture_output=True, check=False)
        return not (other.prefix / "bin").exists()

    wait_until(cleaned)
    assert content(node.prefix) == before
    kill(block)
    wait_until(lambda: cleaned() and not (node.prefix / "bin").exists())
    assert unpackings(node.run().stderr) == 1
