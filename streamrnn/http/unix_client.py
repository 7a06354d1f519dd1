"""Owns how a process asks another of the same daemon over its unix socket. Knows no path of it."""

import asyncio
from pathlib import Path
from typing import NamedTuple

import h11

CHUNK_BYTES = 65_536


class Reply(NamedTuple):
    """What came back."""

    status: int
    body: bytes


async def ask(socket: Path, target: str, accept: str = "*/*") -> Reply:
    """GET a target; OSError where nobody answers, or not as HTTP does. Sets itself no time."""
    reader, writer = await asyncio.open_unix_connection(socket)
    try:
        connection = h11.Connection(h11.CLIENT)
        headers = [("Host", "worker"), ("Accept", accept), ("Connection", "close")]
        asked = (h11.Request(method="GET", target=target, headers=headers), h11.EndOfMessage())
        writer.writelines(connection.send(event) or b"" for event in asked)
        return await _heard(connection, reader)
    except h11.ProtocolError as error:
        raise ConnectionError(f"{socket.name}: {error}") from error
    finally:
        writer.close()


async def _heard(connection: h11.Connection, reader: asyncio.StreamReader) -> Reply:
    status, body = 0, bytearray()
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await reader.read(CHUNK_BYTES))
        elif isinstance(event, h11.Response):
            status = event.status_code
        elif isinstance(event, h11.Data):
            body += event.data
        else:  # the end: h11 takes a body that is cut short for an error
            return Reply(status, bytes(body))
