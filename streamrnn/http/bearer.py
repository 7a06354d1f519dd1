"""Who may ask for more than a look: whoever shows the token. Knows no endpoint, and no token of its own."""

import hmac

from starlette.requests import Request
from starlette.responses import Response

from streamrnn.http.responses import json_response


def refuse_stranger(request: Request, token: str) -> Response | None:
    """The answer to one who does not show the token; None for one who does."""
    authorization = ", ".join(request.headers.getlist("authorization"))
    scheme, _, given = authorization.partition(" ")
    if scheme.lower() != "bearer":
        needed = {"error": "needs Authorization: Bearer and the token"}
        return json_response(401, needed, {"WWW-Authenticate": "Bearer"})
    # How long the comparison takes must not say how much of the token was right.
    if not hmac.compare_digest(given.strip().encode(), token.encode()):
        return json_response(403, {"error": "not the token"})
    return None
