"""What is asked of a daemon about its models: which run and how far they are; look for another one now.

Everybody may look, as at /status; who has the daemon look at the registry must show the token. Knows models only by
a view.
"""

from typing import Any, Protocol

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from streamrnn.http.bearer import refuse_stranger
from streamrnn.http.responses import json_response
from streamrnn.http.routing import route


class ModelView(Protocol):
    """The face of what runs the models."""

    @property
    def is_followed(self) -> bool:
        """Whether the registry says which models are wanted, rather than the settings."""

    async def ask(self) -> None:
        """Look at once which models are wanted."""

    async def state(self) -> dict[str, Any]:
        """The models that run, in JSON's types."""


def model_routes(view: ModelView, token: str | None) -> list[Route]:
    """What answers who looks at the models and who has them looked for; without a token nobody has."""

    async def look(_: Request) -> Response:
        return json_response(200, await view.state())

    async def reload(request: Request) -> Response:
        assert token is not None, "there is no such route without one"
        stranger = refuse_stranger(request, token)
        if stranger is not None:
            return stranger
        if not view.is_followed:
            return json_response(409, {"error": "model.path or model.version is set: no registry is followed"})
        await view.ask()
        return json_response(202, {"asked": True})

    asking = [] if token is None else [route("/model/reload", post=reload)]
    return [route("/model", look), *asking]
