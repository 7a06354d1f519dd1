"""Who may start a retrain job and what is answered, asked over real sockets; the jobs are a view's."""

import json
from http.client import HTTPMessage
from typing import Any

import pytest

from streamrnn.http.retrain import retrain_routes
from tests.http.asking import Start, ask

TOKEN = "s3cret of 22 letters!!"


class View:
    """Counts the jobs that it starts."""

    def __init__(self, is_closed: bool = False, running: bool = False, wait_s: float = 0.0) -> None:
        self.is_closed, self._running, self._wait_s = is_closed, running, wait_s
        self.started = 0

    def is_running(self) -> bool:
        return self._running

    def wait_s(self) -> float:
        return self._wait_s

    async def start(self) -> int:
        self.started += 1
        return self.started

    def state(self) -> dict[str, Any]:
        return {"state": "idle", "number": 7, "seconds": float("nan")}


async def call(
    start: Start, view: View, method: str = "POST", body: bytes = b"", authorization: str | None = f"Bearer {TOKEN}"
) -> tuple[int, HTTPMessage, Any]:
    server = await start(retrain_routes(view, TOKEN))
    lines = [f"{method} /retrain HTTP/1.1", f"Content-Length: {len(body)}"]
    lines += [] if authorization is None else [f"Authorization: {authorization}"]
    status, headers, answer = await ask(server, "\r\n".join([*lines, "", ""]).encode("latin-1") + body)
    return status, headers, json.loads(answer)


def alert(status: str) -> bytes:
    """What Alertmanager posts."""
    firing = {"status": status, "labels": {"alertname": "StreamrnnWorseThanPersistence"}, "startsAt": "2026-01-01"}
    return json.dumps({"version": "4", "status": status, "receiver": "streamrnn", "alerts": [firing]}).encode()


async def test_without_a_token_it_is_not_there(start: Start) -> None:
    server = await start(retrain_routes(View(), None))
    assert (await ask(server, "/retrain"))[0] == 404
    assert (await ask(server, b"POST /retrain HTTP/1.1\r\n\r\n"))[0] == 404


@pytest.mark.parametrize("authorization", [f"Bearer {TOKEN}", f"bearer  {TOKEN} "])
async def test_who_shows_the_token_starts_a_job_and_sees_it(start: Start, authorization: str) -> None:
    view = View()
    status, _, body = await call(start, view, authorization=authorization)
    assert (status, body, view.started) == (202, {"number": 1}, 1)
    status, _, body = await call(start, view, "GET", authorization=authorization)
    assert (status, body, view.started) == (200, {"state": "idle", "number": 7, "seconds": None}, 1)


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    ("authorization", "status"),
    [
        (None, 401),
        ("", 401),
        (TOKEN, 401),
        (f"Basic {TOKEN}", 401),
        ("Bearer", 403),
        ("Bearer ", 403),
        (f"Bearer {TOKEN[:-1]}", 403),
        (f"Bearer {TOKEN}x", 403),
        (f"Bearer {TOKEN.upper()}", 403),
        ("Bearer \xe9\xff", 403),
        (f"Bearer {TOKEN}\r\nAuthorization: Bearer {TOKEN}", 403),
    ],
)
async def test_nobody_else_starts_or_sees_anything(
    start: Start, method: str, authorization: str | None, status: int
) -> None:
    view = View()
    got, headers, body = await call(start, view, method, alert("firing"), authorization)
    assert (got, view.started, list(body)) == (status, 0, ["error"])
    assert headers["WWW-Authenticate"] == ("Bearer" if status == 401 else None)
    assert TOKEN not in str(body)


@pytest.mark.parametrize(
    "body",
    [b"", b"{}", b"[]", b"3", b"null", b"{", b"\xff", b"[" * 60_000, b'{"status": "firing"}', alert("firing")],
)
async def test_whatever_the_body_a_job_starts(start: Start, body: bytes) -> None:
    view = View()
    assert (await call(start, view, body=body))[0] == 202
    assert view.started == 1


@pytest.mark.parametrize(
    "body", [alert("resolved"), b'{"status": "x"}', b'{"status": null}', b'{"status": ["firing"]}']
)
async def test_an_alert_that_is_over_starts_nothing(start: Start, body: bytes) -> None:
    view = View()
    status, _, said = await call(start, view, body=body)
    assert (status, said, view.started) == (200, {"ignored": "the alert is not firing"}, 0)


async def test_a_body_that_is_too_large_starts_nothing(start: Start) -> None:
    server = await start(retrain_routes(view := View(), TOKEN))
    head = f"POST /retrain HTTP/1.1\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: 65537\r\n\r\n"
    assert (await ask(server, head.encode()))[0] == 413
    assert view.started == 0


@pytest.mark.parametrize(
    ("view", "status", "said", "retry_after"),
    [
        (View(running=True, wait_s=5), 409, "job 7 is running", None),
        (View(wait_s=41.2), 429, "wait 42 s", "42"),
        (View(is_closed=True), 503, "the daemon is ending", None),
    ],
)
async def test_one_at_a_time_not_too_often_and_not_at_the_end(
    start: Start, view: View, status: int, said: str, retry_after: str | None
) -> None:
    got, headers, body = await call(start, view)
    assert (got, headers["Retry-After"], view.started) == (status, retry_after, 0)
    assert said in body["error"]
    assert (await call(start, view, body=alert("resolved")))[0] == 200
