"""A process's way to the coordinator, process 0, by which it notices first that process 0 is gone.

JAX's client aborts with a stack trace once its connection closes. The client of a process other than 0 therefore talks
to a relay in its own process, which passes all bytes on. Where process 0's end closes, the client's end stays open, and
the relay says so instead.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import suppress


class Relay:
    """Listens at `address` on this machine, and connects whoever comes to `coordinator`, "HOST:PORT".

    `closed()` is called where the coordinator closes a connection that is still in use; it returns whether the other
    end stays open.
    """

    def __init__(self, coordinator: str, closed: Callable[[], bool]):
        self._coordinator, self._closed = place(coordinator), closed
        self._server = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._server.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            near, _ = self._server.accept()
            try:
                far = socket.create_connection(self._coordinator, timeout=5)
            except OSError:  # not there yet: JAX's client comes again
                near.close()
                continue
            far.settimeout(None)
            done = threading.Event()
            threading.Thread(target=self._send, args=(near, far, done), daemon=True).start()
            threading.Thread(target=self._receive, args=(near, far, done), daemon=True).start()

    def _send(self, near: socket.socket, far: socket.socket, done: threading.Event) -> None:
        """From the client on, until the client closes. Where the coordinator has gone, `_receive` sees it."""
        if copy(near, far):
            done.set()
            close(far)

    def _receive(self, near: socket.socket, far: socket.socket, done: threading.Event) -> None:
        """Back to the client, until the coordinator closes."""
        if not copy(far, near) or done.is_set() or not self._closed():
            close(near)


def place(address: str) -> tuple[str, int]:
    """Host and port of "HOST:PORT"."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def answers(address: str) -> bool:
    """Whether anybody listens at "HOST:PORT"."""
    try:
        socket.create_connection(place(address), timeout=5).close()
    except OSError:
        return False
    return True


def copy(source: socket.socket, target: socket.socket) -> bool:
    """Passes bytes on until one of the two ends; an error is an end. Whether `source` was the one."""
    while True:
        try:
            data = source.recv(1 << 16)
        except OSError:
            return True
        if not data:
            return True
        try:
            target.sendall(data)
        except OSError:
            return False


def close(end: socket.socket) -> None:
    """Ends both directions, so that a thread that waits for `end` goes on."""
    with suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()
