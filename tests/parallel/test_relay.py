"""The relay between a process and the coordinator: it passes bytes on, and tells which of the two has gone."""

import socket
import threading
import time
from contextlib import suppress

import pytest

from gpt_jax.parallel.relay import Relay, copy

MOST = 30  # seconds that a busy machine may take


class Ends:
    """A relay, the client's end of a connection through it, and the coordinator's."""

    def __init__(self):
        server = socket.create_server(("127.0.0.1", 0))
        self.closed = threading.Event()
        relay = Relay(f"127.0.0.1:{server.getsockname()[1]}", lambda: self.closed.set() or True)
        host, _, port = relay.address.rpartition(":")
        self.client = socket.create_connection((host, int(port)), timeout=MOST)
        self.coordinator, _ = server.accept()
        self.coordinator.settimeout(MOST)
        server.close()


@pytest.fixture
def ends():
    both = Ends()
    yield both
    both.client.close()
    both.coordinator.close()


def test_bytes_go_both_ways(ends):
    ends.client.sendall(b"asks")
    assert ends.coordinator.recv(9) == b"asks"
    ends.coordinator.sendall(b"answers")
    assert ends.client.recv(9) == b"answers"


@pytest.mark.parametrize("talks", [False, True], ids=["silent", "while the client talks"])
def test_the_clients_end_stays_open_where_the_coordinator_goes(ends, talks):
    """JAX's client ends its process where its connection closes, and names nobody."""
    over = threading.Event()

    def talk() -> None:
        with suppress(OSError):
            while talks and not over.is_set():
                ends.client.sendall(bytes(1 << 16))

    talker = threading.Thread(target=talk, daemon=True)
    talker.start()
    ends.coordinator.recv(1 << 10) if talks else None
    ends.coordinator.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # as a process that dies
    ends.coordinator.close()
    assert ends.closed.wait(MOST)
    ends.client.settimeout(0.5)
    with pytest.raises(TimeoutError):
        ends.client.recv(1)
    over.set()


def test_a_client_that_leaves_is_no_news(ends):
    ends.client.sendall(b"last")
    ends.client.close()
    received, began = b"", time.monotonic()
    while (data := ends.coordinator.recv(9)) and time.monotonic() < began + MOST:
        received += data
    assert received == b"last" and not ends.closed.is_set()


@pytest.mark.parametrize("source_ends", [True, False])
def test_which_of_two_ends_went_is_told_by_the_thread_that_notices(source_ends):
    """The thread that sends may notice before the one that receives that the coordinator has gone."""
    (writer, source), (target, reader) = socket.socketpair(), socket.socketpair()
    writer.sendall(b"more")
    (writer if source_ends else reader).close()
    assert copy(source, target) == source_ends
    for end in (writer, source, target, reader):
        end.close()


def test_a_send_that_fails_leaves_the_clients_end_to_the_thread_that_receives():
    (client, near), (far, coordinator) = socket.socketpair(), socket.socketpair()
    coordinator.close()
    client.sendall(b"late")
    done = threading.Event()
    Relay("127.0.0.1:1", lambda: True)._send(near, far, done)
    assert not done.is_set(), "the client has not left"
    client.close()
    near.close()
