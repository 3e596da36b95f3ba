"""A real server of https in this process, with ranges, redirects and faults on demand."""

from __future__ import annotations

import contextlib
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class WebServer:
    """A server; use it as a context manager.

    Parameters
    ----------
    certificate : tuple of Path, optional
        Files of its certificate and key; None: plain http.

    Attributes
    ----------
    files : dict
        Path → content.
    statuses : dict
        Path → status codes of the next answers, in place of the content.
    redirects : dict
        Path → where it redirects to.
    tokens : set of str
        Tokens that it accepts; empty: everyone reads.
    stall_after : int or None
        Bytes of an answer after which it sends nothing more.
    ranges : bool
        Whether it sends ranges; else whole files.
    connections : int
        Number of connections so far.
    requests : list
        (path, range, authorization) of each request.
    """

    def __init__(self, certificate: tuple[Path, Path] | None = None) -> None:
        self.files: dict[str, bytes] = {}
        self.statuses: dict[str, list[int]] = {}
        self.redirects: dict[str, str] = {}
        self.tokens: set[str] = set()
        self.stall_after: int | None = None
        self.ranges = True
        self.connections = 0
        self.requests: list[tuple[str, str, str]] = []
        self.ended = threading.Event()
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self):
                owner.connections += 1
                super().setup()

            def do_GET(self):
                _answer(self, owner)

            def log_message(self, *_args):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._scheme = "http"
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
            self._scheme = "https"
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)

    def url(self, path: str, host: str = "localhost") -> str:
        return f"{self._scheme}://{host}:{self.port}{path}"

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self._server.shutdown()
        self._server.server_close()


def _answer(request: BaseHTTPRequestHandler, server: WebServer) -> None:
    path, wanted = request.path.partition("?")[0], request.headers.get("Range", "")
    authorization = request.headers.get("Authorization", "")
    server.requests.append((request.path, wanted, authorization))
    status = server.statuses.get(path) and server.statuses[path].pop(0)
    if not status and path in server.redirects:
        status = 307
    if not status and server.tokens and authorization.removeprefix("Bearer ") not in server.tokens:
        status = 403 if authorization else 401
    if not status and path not in server.files:
        status = 404
    if status:
        request.send_response(status)
        if status == 307:
            request.send_header("Location", server.redirects[path])
        request.send_header("Content-Length", "0")
        request.end_headers()
        return
    content = server.files[path]
    size, start = len(content), 0
    if wanted and server.ranges:
        first, _, last = wanted.removeprefix("bytes=").partition("-")
        start, stop = int(first), min(int(last) + 1, size)
        if start >= size:
            request.send_response(416)
            request.send_header("Content-Range", f"bytes */{size}")
            request.send_header("Content-Length", "0")
            request.end_headers()
            return
        content = content[start:stop]
        request.send_response(206)
        request.send_header("Content-Range", f"bytes {start}-{stop - 1}/{size}")
    else:
        request.send_response(200)
    request.send_header("Content-Length", str(len(content)))
    request.end_headers()
    with contextlib.suppress(OSError):  # the client has read what it wants
        if server.stall_after is None or len(content) <= server.stall_after:
            request.wfile.write(content)
            return
        request.wfile.write(content[: server.stall_after])
        request.wfile.flush()
        server.ended.wait(60)
