"""Owns the forms of an answer: text and JSON. Knows nothing of what is asked."""

import json
import math
from collections.abc import Mapping
from typing import Any

from starlette.responses import PlainTextResponse, Response


def text_response(status: int, text: str, headers: Mapping[str, str] | None = None) -> Response:
    """Plain text."""
    return PlainTextResponse(text, status, headers)


def json_response(status: int, payload: Any, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON body; NaN and Inf become null."""
    return Response(json.dumps(_finite(payload)), status, headers, "application/json")


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
