"""A real XRootD server on this machine, for tests: root:// with proxies and tokens, and https.

It listens on 127.0.0.1 only, keeps all that it has in one folder, and ends with the process that started it. Several can
run. `install_xrootd.sh` installs the software.

Paths below /protected can be read with a proxy of the authority's user, or with a token for them; paths below /vo with a
proxy that has VOMS attributes, or with a token. Nobody else reads anything.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import tempfile
import time
from collections import deque
from pathlib import Path
from typing import Self

from services.authority import VO, Authority
from services.condor_machine import entering, free_port
from services.tokens import AUDIENCE, write

START = 30.0  # s; 1 s on a machine with nothing else to do


class XRootDUnavailableError(Exception):
    """XRootD is not installed, or does not start on this machine."""


def prefix() -> Path:
    """Return the folder that `install_xrootd.sh` has filled.

    Raises
    ------
    XRootDUnavailableError
        If it has not.
    """
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(os.environ.get("FASTHEP_XROOTD_PREFIX") or Path(cache) / "fasthep-parsl-tests" / "xrootd").absolute()
    if not (folder / ".installed").is_file():
        raise XRootDUnavailableError(f"no XRootD in {folder}: run 'make services'")
    return folder


class XRootDServer:
    """A server; use it as a context manager.

    Parameters
    ----------
    authority : Authority
        Whose credentials it takes.
    trace : bool
        Write every request and every decision into the log.

    Attributes
    ----------
    data : Path
        The folder that it serves, with the folders ``protected`` and ``vo``. Put files there, or let `put` do it.
    port, https_port : int
        Where it listens.
    """

    def __init__(self, authority: Authority, *, trace: bool = False) -> None:
        self.authority = authority
        self.folder = Path(tempfile.mkdtemp(prefix="xrootd-", dir="/tmp"))  # short: paths of sockets are
        self.data = self.folder / "data"
        self.log = self.folder / "log"
        self._trace = trace
        self._process: subprocess.Popen[bytes] | None = None
        for name in ("admin", "data/protected", "data/vo"):
            (self.folder / name).mkdir(parents=True)
        self.port, self.https_port = free_port(), free_port()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    # ---------------------------------------------------------------------------------------- use

    def put(self, source: Path, path: str) -> str:
        """Serve a file, or all files of a folder; return its path on the server.

        Parameters
        ----------
        source : Path
            It is copied.
        path : str
            Below ``protected`` or ``vo``.
        """
        target = self.data / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if source.is_dir() else shutil.copyfile)(source, target)
        return f"/{path.lstrip('/')}"

    def url(self, path: str, scheme: str = "root", port: int | None = None) -> str:
        """Return the URL of a path.

        Parameters
        ----------
        path : str
            On the server.
        scheme : str
            ``root``, ``roots``, ``xroot``, ``xroots``, ``https`` or ``davs``.
        port : int, optional
            Of a link to the server.
        """
        path = path.lstrip("/")
        if scheme in {"https", "davs"}:
            return f"{scheme}://localhost:{port or self.https_port}/{path}"
        return f"{scheme}://localhost:{port or self.port}//{path}"

    @property
    def env(self) -> dict[str, str]:
        """Environment variables of programs that are to trust it."""
        return self.authority.env

    # ---------------------------------------------------------------------------------------- start and stop

    def start(self) -> Self:
        """Start it; wait until it listens.

        Raises
        ------
        XRootDUnavailableError
            It is not installed or does not start; the end of its log is in the message.
        """
        try:
            program = prefix() / "usr/bin/xrootd"
            self._write_config()
            self._launch(program)
            for port in (self.port, self.https_port):
                self._await(port)
        except BaseException:
            self.stop()
            raise
        return self

    def _launch(self, program: Path) -> None:
        # setpriv: it ends with this process, however that ends. It refuses to run as root, hence `entering`.
        command = [*entering(), "setpriv", "--pdeathsig", "KILL", str(program), "-n", "tests", "-l", str(self.log)]
        env = {
            "PATH": os.defpath,
            "HOME": str(self.folder),
            "XDG_CACHE_HOME": str(self.folder / "cache"),
            "X509_CERT_DIR": str(self.authority.certificates),
            "X509_VOMS_DIR": str(self.authority.voms_dir),
            "LD_PRELOAD": str(prefix() / "loopback_only.so"),
        }
        with (self.folder / "out").open("ab") as out:
            self._process = subprocess.Popen(
                [*command, "-c", str(self.folder / "config")], env=env, cwd=self.folder / "admin",
                stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True,
            )  # fmt: skip

    def _await(self, port: int) -> None:
        deadline = time.monotonic() + START
        while not _listens(port):
            ended = self._process is None or self._process.poll() is not None
            if ended or time.monotonic() > deadline:
                raise XRootDUnavailableError(f"xrootd does not start:\n{self.tail()}")
            time.sleep(0.02)

    def stop(self) -> None:
        """End it and remove its folder."""
        if self._process is not None:
            self.resume()
            self._process.terminate()
            try:
                self._process.wait(5)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None
        shutil.rmtree(self.folder, ignore_errors=True)

    def pause(self) -> None:
        """Stop it from answering: connections stay open, new ones are taken by the kernel."""
        if self._process is not None:
            os.kill(self._process.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let it answer again."""
        if self._process is not None and self._process.poll() is None:
            os.kill(self._process.pid, signal.SIGCONT)

    def tail(self, lines: int = 40) -> str:
        """Return the end of its log."""
        found: list[str] = []
        for file in (self.folder / "out", *self.folder.rglob("log")):
            if file.is_file():
                found += deque(file.read_text(errors="replace").splitlines(), lines)
        return "\n".join(found[-lines:])

    # ---------------------------------------------------------------------------------------- configuration

    def _write_config(self) -> None:
        certificate, key = self.authority.host
        write(self.folder / "host.pem", certificate.read_bytes())
        write(self.folder / "host.key", key.read_bytes(), 0o400)
        write(self.folder / "gridmap", f'"{self.authority.user}" mapped\n'.encode())
        # The name of no token's subject: ztn makes that the user, and an entry for it would let in tokens for others.
        write(self.folder / "authdb", f"u mapped /protected lr\ng /{VO} /vo lr\n".encode())
        issuer = {"issuer": self.authority.issuer, "base_path": "/", "map_subject": "false", "default_user": "token"}
        lines = ["[Global]", f"audience = {AUDIENCE}", "onmissing = passthrough", "[Issuer tests]"]
        lines += [f"{key} = {value}" for key, value in issuer.items()]
        write(self.folder / "scitokens", "\n".join([*lines, ""]).encode())
        write(self.folder / "config", "\n".join([*self._config(), ""]).encode())
        self._fill_key_cache(self.folder / "cache" / "scitokens" / "scitokens_cpp.sqllite")  # sic

    def _fill_key_cache(self, file: Path) -> None:
        """Let the server know the issuer's keys: libscitokens 0.7.3 trusts only the system's authorities, and would not
        get the keys from a test."""
        file.parent.mkdir(parents=True)
        later = int(time.time()) + 30 * 86400
        content = json.dumps({"jwks": self.authority.tokens.keys(), "expires": later, "next_update": later})
        database = sqlite3.connect(file)
        with database:
            database.execute("CREATE TABLE keycache (issuer text UNIQUE PRIMARY KEY NOT NULL, keys text NOT NULL)")
            database.execute("INSERT INTO keycache VALUES (?, ?)", (self.authority.issuer, content))
        database.close()

    def _config(self) -> list[str]:
        at, trusted = self.folder, self.authority.certificates
        gsi = f"-certdir:{trusted} -cert:{at}/host.pem -key:{at}/host.key -gridmap:{at}/gridmap -gmapopt:1 -crl:1"
        attributes = f"certfmt=raw|vos={VO}"
        return [
            "all.role server",
            "all.export /protected r/o",
            "all.export /vo r/o",
            f"oss.localroot {self.data}",
            f"all.adminpath {at}/admin",
            f"all.pidpath {at}/admin",
            f"xrd.port {self.port}",
            "xrd.allow host localhost",
            f"xrd.protocol http:{self.https_port} libXrdHttp.so",
            f"xrd.tls {at}/host.pem {at}/host.key",
            f"xrd.tlsca certdir {trusted}",
            # roots:// is offered, and root:// stays plain; tokens are taken inside TLS only
            "xrootd.tls capable none",
            "xrootd.seclib libXrdSec.so",
            "sec.protocol ztn",
            f"sec.protocol gsi {gsi} -vomsat:1 -vomsfun:default -vomsfunparms:{attributes}",
            "ofs.authorize 1",
            f"ofs.authlib ++ libXrdAccSciTokens.so config={at}/scitokens",
            f"acc.authdb {at}/authdb",
            "http.header2cgi Authorization authz",
            f"http.gridmap {at}/gridmap",
            f"http.secxtractor libXrdVoms.so {attributes}",
            "http.desthttps yes",
            "http.selfhttps2http no",
            *(f"{part}.trace all" for part in ("xrd", "http", "sec", "scitokens") if self._trace),
        ]


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0
