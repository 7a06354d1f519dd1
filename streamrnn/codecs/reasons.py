"""Why a record is no tick, in a code for machines and words for people. Knows no columns."""

from datetime import UTC, datetime

import msgspec

LONGEST_KEY_BYTES = 1024
LARGEST_TIME_MS = 2**53
Time = int | float | str | None


class Refused(Exception):
    """Inside the codecs only: why a record is no tick."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def size_refusal(value: bytes | None, most: int) -> Refused | None:
    """Why a value is not even looked into."""
    if value is None:
        return Refused("null", "the record has no value")
    if len(value) > most:
        return Refused("too_large", f"{len(value)} bytes, the limit is {most}")
    return None


def reading_refusal(error: Exception, codec: str, time_field: str | None, sequence_field: str | None) -> Refused:
    """The reason behind what the decoder of JSON or MessagePack raised."""
    text = str(error)
    if isinstance(error, RecursionError):
        return Refused("too_deep", "nested too deeply")
    if not isinstance(error, msgspec.ValidationError):
        return Refused("undecodable", f"not {codec}: {text}")
    if "Expected `object`" in text and "`$." not in text:
        return Refused("not_an_object", text)
    if time_field is not None and text.endswith(f"`$.{time_field}`"):
        return Refused("bad_time", text)
    if sequence_field is not None and text.endswith(f"`$.{sequence_field}`"):
        return Refused("bad_sequence", text)
    return Refused("not_finite" if "out of range" in text else "bad_type", text)


def key_refusal(stream: bytes | None, field: str | None) -> Refused | None:
    """Why these bytes name no stream; `field` is where they were looked for, None the record's key."""
    if stream is None:
        where = f"field {field!r}" if field else "key"
        return Refused("missing_key", f"the record has no {where} to name its stream")
    if not 0 < len(stream) <= LONGEST_KEY_BYTES:
        return Refused("bad_key", f"a stream's name takes 1 to {LONGEST_KEY_BYTES} bytes, not {len(stream)}")
    try:
        stream.decode()
    except UnicodeDecodeError as error:
        return Refused("bad_key", f"the stream's name is not UTF-8: {error}")
    return None


def sequence_refusal(number: int | None, field: str | None) -> Refused | None:
    """Why this is no place in a sequence; a whole number is one if it fits into 64 bits."""
    if number is None:
        return Refused("missing_sequence", f"the record has no field {field!r} to order it by")
    if not -(2**63) <= number < 2**63:
        return Refused("bad_sequence", "a whole number of more than 64 bits")
    return None


def to_time_ms(time: Time, arrival_ms: int) -> int:
    """Event time in ms since the epoch from a number of ms, ISO 8601 text (UTC if it names no zone) or None."""
    try:
        time_ms = arrival_ms if time is None else _iso_ms(time) if isinstance(time, str) else int(time)
    except (ValueError, OverflowError) as error:
        raise Refused("bad_time", f"{time!r:.60} is no time: {error}") from error
    if not -LARGEST_TIME_MS <= time_ms <= LARGEST_TIME_MS:
        raise Refused("bad_time", f"{str(time_ms)[:60]} ms is out of range")
    return time_ms


def _iso_ms(time: str) -> int:
    moment = datetime.fromisoformat(time)
    return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
