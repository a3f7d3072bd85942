"""Whatever answers on the socket, the command line ends with a status and a sentence."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from .conftest import Cli


@contextlib.contextmanager
def answering(data: Path, answer: bytes) -> Iterator[None]:
    """Something on the server's socket that says this once and hangs up."""
    path = data / "run" / "api.sock"
    path.parent.mkdir(mode=0o700, exist_ok=True)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:  # the listener was closed
                    return
                with connection:
                    if connection.recv(65536):  # else somebody only looked whether it is there
                        connection.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(5)


@pytest.mark.parametrize(
    ("answer", "status", "said"),
    [
        (b"", 4, "error[server.unreachable]: the connection broke off"),
        (b"nonsense\r\n\r\n", 4, "error[server.unreachable]: the connection broke off"),
        (
            b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 4\r\n\r\noops",
            1,
            "error[http.502]: the server answered 502",
        ),
        (
            b"HTTP/1.1 404 Not Found\r\nContent-Length: 36\r\n\r\n"
            b'{"code": "x.gone", "detail": "gone"}',
            6,
            "error[x.gone]: gone",
        ),
    ],
)
def test_the_end_is_told_in_words(
    run: Cli, data: Path, monkeypatch: pytest.MonkeyPatch, answer: bytes, status: int, said: str
) -> None:
    monkeypatch.chdir(data)
    with answering(data, answer):
        done = run("device", "list", "--data", data)
    assert (done.status, done.out) == (status, ""), done
    assert done.err.startswith(said)
    assert "Traceback" not in done.err
