"""Owns how a request that aiokafka has no method for goes out through one of its clients. Knows no request."""

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.protocol.api import Request, Response


async def ask_broker(client: AIOKafkaAdminClient, request: Request, node: int | None = None) -> Response:
    """A broker's answer, any broker's where none is named; relies on `_send_request`."""
    return await client._send_request(request, node)
