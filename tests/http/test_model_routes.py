"""Who may look at the models and who may have them looked for, asked over real sockets; the models are a view's."""

import json
from typing import Any

import pytest

from streamrnn.http.model_routes import model_routes
from tests.http.asking import Start, ask

TOKEN = "s3cret of 22 letters!!"


class View:
    """Counts how often it is asked to look."""

    def __init__(self, is_followed: bool = True) -> None:
        self.is_followed, self.asked = is_followed, 0

    async def ask(self) -> None:
        self.asked += 1

    async def state(self) -> dict[str, Any]:
        return {"serving": "oil@7", "challenger": None, "left_s": float("inf")}


def reload(authorization: str | None = f"Bearer {TOKEN}", method: str = "POST") -> bytes:
    shown = "" if authorization is None else f"Authorization: {authorization}\r\n"
    return f"{method} /model/reload HTTP/1.1\r\n{shown}Content-Length: 0\r\n\r\n".encode("latin-1")


@pytest.mark.parametrize("token", [None, TOKEN])
async def test_everybody_may_look_with_a_token_or_without(start: Start, token: str | None) -> None:
    server = await start(model_routes(View(), token))
    status, _, body = await ask(server, "/model")
    assert (status, json.loads(body)) == (200, {"serving": "oil@7", "challenger": None, "left_s": None})
    assert (await ask(server, b"POST /model HTTP/1.1\r\nContent-Length: 0\r\n\r\n"))[0] == 405


async def test_without_a_token_nobody_can_ask_for_a_look_at_the_registry(start: Start) -> None:
    view = View()
    server = await start(model_routes(view, None))
    assert (await ask(server, reload()))[0] == 404
    assert view.asked == 0


async def test_who_shows_the_token_has_the_registry_looked_at(start: Start) -> None:
    view = View()
    server = await start(model_routes(view, TOKEN))
    status, _, body = await ask(server, reload())
    assert (status, json.loads(body), view.asked) == (202, {"asked": True}, 1)
    assert (await ask(server, reload(method="GET")))[0] == 405


@pytest.mark.parametrize(
    ("authorization", "status"),
    [(None, 401), (TOKEN, 401), (f"Basic {TOKEN}", 401), ("Bearer ", 403), (f"Bearer {TOKEN[:-1]}", 403),
     (f"Bearer {TOKEN}x", 403), ("Bearer \xe9\xff", 403)],
)  # fmt: skip
async def test_nobody_else_has(start: Start, authorization: str | None, status: int) -> None:
    for view in (View(), View(is_followed=False)):
        server = await start(model_routes(view, TOKEN))
        got, headers, body = await ask(server, reload(authorization))
        assert (got, view.asked, list(json.loads(body))) == (status, 0, ["error"])
        assert headers["WWW-Authenticate"] == ("Bearer" if status == 401 else None)
        assert TOKEN.encode() not in body


async def test_a_daemon_with_a_fixed_version_says_that_it_follows_no_registry(start: Start) -> None:
    view = View(is_followed=False)
    server = await start(model_routes(view, TOKEN))
    status, _, body = await ask(server, reload())
    assert (status, view.asked) == (409, 0)
    assert "model.version is set" in json.loads(body)["error"]
