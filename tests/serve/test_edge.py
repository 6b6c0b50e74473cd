"""Clients that are slow, or speak no HTTP, keep no connection for long and get their problem."""

import json
import socket
import threading
from functools import partial

import pytest
import uvicorn
from fastapi import FastAPI, Request

from ops_platform.serve import edge, patient
from ops_platform.serve.edge import Edge
from ops_platform.serve.patient import PatientProtocol
from ops_platform.serve.problems import tell_problems
from tests.serve.conftest import until

ENDLESS = b"POST / HTTP/1.1\r\nContent-Length: 99000000\r\n\r\n"


@pytest.fixture(scope="module")
def echo():
    """The address of a server that answers with the size of what it is sent, or fails at /fail."""
    app = FastAPI()
    tell_problems(app)

    @app.post("/")
    async def size(request: Request) -> int:
        return len(await request.body())

    @app.get("/fail")
    async def fail() -> None:
        raise RuntimeError("a secret of the inside")

    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(
        uvicorn.Config(Edge(app), http=PatientProtocol, log_level="critical", server_header=False)
    )
    thread = threading.Thread(target=partial(server.run, [listening]))
    thread.start()
    until(lambda: server.started)
    yield listening.getsockname()
    server.should_exit = True
    thread.join()


@pytest.fixture
def hurry(monkeypatch):
    monkeypatch.setattr(patient, "HEADER_SECONDS", 0.05)
    monkeypatch.setattr(edge, "BODY_SECONDS", 0.05)


def talk(address, *sent: bytes) -> tuple[int, dict]:
    """The status and the problem; the server must then end the connection by itself."""
    with socket.create_connection(address, timeout=20) as client:
        for part in sent:
            client.sendall(part)
        answer = b""
        while part := client.recv(65536):
            answer += part
    if not answer:
        return 0, {}
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"content-type: application/problem+json" in head
    assert b"connection: close" in head
    return int(head.split()[1]), json.loads(body)


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"POST / HT",
        b"POST / HTTP/1.1\r\nHost: a\r\nA: ",
        b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\nabc",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n",
    ],
)
def test_a_slow_client_is_told_and_left(echo, hurry, sent):
    status, problem = talk(echo, sent)
    assert (status, problem["title"]) == (408, "Request Timeout")


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET /\xff\xfe HTTP/1.1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nA: ".ljust(patient.HEADER_BYTES + 1, b"b"), 431),
        (b"GET /".ljust(patient.HEADER_BYTES + 1, b"a"), 431),
        (ENDLESS + b"a" * (edge.PASSED_OVER_MAX + 1), 413),
    ],
)
def test_what_is_no_request_is_refused_and_left(echo, sent, status):
    """To the byte: what were left unread would reset the connection."""
    assert talk(echo, sent)[0] == status


def test_an_error_of_the_inside_is_told_without_it(echo):
    status, problem = talk(echo, b"GET /fail HTTP/1.1\r\nConnection: close\r\n\r\n")
    assert status == 500
    assert "secret" not in json.dumps(problem)


def test_several_requests_on_one_connection_are_answered(echo, monkeypatch):
    request = b"POST / HTTP/1.1\r\nContent-Length: 40000\r\n\r\n" + b"a" * 40_000
    with socket.create_connection(echo, timeout=20) as client:
        for _ in range(4):
            client.sendall(request)
            answer = b""
            while not answer.endswith(b"\r\n\r\n40000"):
                answer += client.recv(65536)
            assert answer.startswith(b"HTTP/1.1 200")
