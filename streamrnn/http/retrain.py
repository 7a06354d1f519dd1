"""What is asked of a daemon that may retrain: start a job, how the last one fared. Everybody must show the token.

Alertmanager's webhook may call it as it is. Knows a job only by its view.
"""

import json
import math
from typing import Any, Protocol

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from streamrnn.http.bearer import refuse_stranger
from streamrnn.http.responses import json_response
from streamrnn.http.routing import route


class RetrainView(Protocol):
    """The face of what runs the jobs."""

    @property
    def is_closed(self) -> bool:
        """Whether no job is started any more."""

    def is_running(self) -> bool:
        """Whether a job runs."""

    def wait_s(self) -> float:
        """Seconds until the next may start."""

    async def start(self) -> int:
        """Start one; its number."""

    def state(self) -> dict[str, Any]:
        """The newest job."""


def retrain_routes(view: RetrainView, token: str | None) -> list[Route]:
    """What answers who may look at the jobs and start one; without a token there is nothing."""
    if token is None:
        return []

    async def look(request: Request) -> Response:
        return refuse_stranger(request, token) or json_response(200, view.state())

    async def start(request: Request) -> Response:
        body = await request.body()
        stranger = refuse_stranger(request, token)
        if stranger is not None:
            return stranger
        if not _asks_for_one(body):
            return json_response(200, {"ignored": "the alert is not firing"})
        return _refusal(view) or json_response(202, {"number": await view.start()})

    return [route("/retrain", look, start)]


def _asks_for_one(body: bytes) -> bool:
    """False for an alert that is over; whatever else is in the body does not matter."""
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        return True
    return not isinstance(said, dict) or said.get("status", "firing") == "firing"


def _refusal(view: RetrainView) -> Response | None:
    """Why no job may start now."""
    if view.is_closed:
        return json_response(503, {"error": "the daemon is ending"})
    if view.is_running():
        return json_response(409, {"error": f"job {view.state()['number']} is running"})
    wait_s = math.ceil(view.wait_s())
    if wait_s > 0:
        soon = {"error": f"the last one began a moment ago, wait {wait_s} s"}
        return json_response(429, soon, {"Retry-After": str(wait_s)})
    return None
