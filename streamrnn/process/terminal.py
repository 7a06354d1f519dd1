"""Text from files and topics made fit for a terminal: shown, never obeyed. Knows no other layer."""

from datetime import UTC, datetime


def plain(text: object) -> str:
    """Text for a terminal: what is not printable becomes visible as an escape and is not obeyed."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text))


def counted(number: int, noun: str) -> str:
    """A number of things: 1 stream, 1,000 streams."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def moment(time_ms: int) -> str:
    """Event time in UTC; the bare number where the calendar ends."""
    try:
        when = datetime.fromtimestamp(time_ms / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return f"{time_ms} ms"
    return when.isoformat(sep=" ", timespec="milliseconds")
