"""Links to a server: TCP proxies on the loopback address that are slow, that break, that stop in the middle of a read.

    with Link(server.port, delay=0.010) as link:  # 20 ms for a round trip
        server.url("protected/file.root", port=link.port)

Each runs in a process of its own, so that it takes no time from the program that uses it, and ends with the process that
started it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
from typing import Self

CHUNK = 1 << 16
AHEAD = 1024  # chunks under way in one direction: 64 MB
HOST = "127.0.0.1"


class Link:
    """A proxy; use it as a context manager.

    Parameters
    ----------
    target : int
        The port of the server on this machine.
    delay : float
        Seconds that every byte takes, in each direction. What is sent meanwhile is not held up by it.
    stall_after : int, optional
        Bytes from the server after which the link is silent for ever, connections made later included; they stay open.
        None: never.
    each : bool
        Count `stall_after` for each connection; later connections then work until they have had so many bytes.

    Attributes
    ----------
    port : int
        Where it listens.
    """

    def __init__(self, target: int, *, delay: float = 0.0, stall_after: int | None = None, each: bool = False) -> None:
        self.port = 0
        self._arguments = [str(target), str(delay), str(-1 if stall_after is None else stall_after), str(int(each))]
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, __file__, *self._arguments], text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self.port = int(self._answer())
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.stdin.close()  # its end
            self._process.wait(10)
            self._process.stdout.close()

    def stall(self) -> None:
        """Pass nothing on from now. Connections stay open."""
        self._tell("stall")

    def resume(self) -> None:
        """Pass everything on again, what came meanwhile included."""
        self._tell("resume")

    def cut(self) -> None:
        """Close all connections and refuse new ones."""
        self._tell("cut")

    @property
    def received(self) -> int:
        """Bytes from the server so far."""
        return int(self._tell("received"))

    @property
    def connections(self) -> int:
        """Number of connections so far."""
        return int(self._tell("connections"))

    def _tell(self, word: str) -> str:
        print(word, file=self._process.stdin, flush=True)
        return self._answer()

    def _answer(self) -> str:
        if not (line := self._process.stdout.readline()):
            raise RuntimeError("the link has ended")
        return line.strip()


def dead_port() -> int:
    """Return a port that refuses connections, as a host does whose server is down."""
    with socket.socket() as found:
        found.bind((HOST, 0))
        return int(found.getsockname()[1])


# ------------------------------------------------------------------------------------------- the process of a link


class _Passing:
    """What the process does; the parameters are those of `Link`."""

    def __init__(self, target: int, delay: float, stall_after: int, each: bool) -> None:
        self.target, self.delay, self.stall_after, self.each = target, delay, stall_after, each
        self.received = self.connections = 0
        self.open = asyncio.Event()
        self.open.set()
        self.writers: set[asyncio.StreamWriter] = set()
        self.is_cut = False

    async def serve(self) -> None:
        """Answer the commands on standard input until its end."""
        server = await asyncio.start_server(self._connected, HOST, 0)
        print(server.sockets[0].getsockname()[1], flush=True)
        commands = asyncio.StreamReader()
        loop = asyncio.get_running_loop()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
        while word := (await commands.readline()).decode().strip():
            if word == "stall":
                self.open.clear()
            elif word == "resume":
                self.stall_after = -1
                self.open.set()
            elif word == "cut":
                server.close()
                self.is_cut = True
                for writer in self.writers:
                    writer.transport.abort()
            print(getattr(self, word) if word in {"received", "connections"} else "done", flush=True)
        os._exit(0)  # with its connections

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            there, back = await asyncio.open_connection(HOST, self.target)
        except OSError:
            writer.transport.abort()
            return
        ends = {writer, back}
        if self.is_cut:  # while the connection to the server was made
            for end in ends:
                end.transport.abort()
            return
        self.writers |= ends
        try:
            await asyncio.gather(self._pass(reader, back, counted=False), self._pass(there, writer, counted=True))
        finally:
            self.writers -= ends
            for end in ends:
                end.transport.abort()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, counted: bool) -> None:
        under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(AHEAD)
        delivery = asyncio.create_task(self._deliver(under_way, writer))
        loop = asyncio.get_running_loop()
        had = 0
        with contextlib.suppress(OSError):
            while data := await reader.read(CHUNK):
                if counted:
                    had += len(data)
                    self.received += len(data)
                    if 0 <= self.stall_after < (had if self.each else self.received):
                        if self.each:
                            await asyncio.Event().wait()
                        self.open.clear()
                await under_way.put((loop.time() + self.delay, data))
        await under_way.put((loop.time() + self.delay, b""))
        await delivery

    async def _deliver(self, under_way: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        with contextlib.suppress(OSError):
            while True:
                at, data = await under_way.get()
                if (wait := at - loop.time()) > 0:
                    await asyncio.sleep(wait)
                await self.open.wait()
                if not data:
                    writer.write_eof()
                    return
                writer.write(data)
                await writer.drain()


if __name__ == "__main__":
    asyncio.run(_Passing(int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]), sys.argv[4] == "1").serve())
