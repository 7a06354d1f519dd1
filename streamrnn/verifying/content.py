"""What must be equal in a prediction: its key and all of its value but `state.origin`, which tells how the state
came back and not what it is. Knows no topic.
"""

from array import array
from collections.abc import Iterator
from hashlib import blake2b
from itertools import zip_longest
from typing import Any

import msgspec

from streamrnn.codecs.formats.known import objects_in
from streamrnn.codecs.formats.packed import read_forecasts
from streamrnn.config.input import Codec
from streamrnn.nn.spec import Precision

DIGEST_BYTES = 16
UNREADABLE = bytes(DIGEST_BYTES)
LONGEST_SHOWN, MOST_DIFFERENCES = 300, 5
_DEFECTS = (msgspec.MsgspecError, ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError)
_NUMBERS = ("prediction", "quantiles", "residual")
"""Fields whose numbers are the model's."""
_ABSENT = object()
_packed = msgspec.msgpack.Encoder(order="deterministic").encode


class Content:
    """Predictions of one codec by a model of one precision, whose numbers are compared in it: not their texts."""

    def __init__(self, codec: Codec, precision: Precision) -> None:
        objects = objects_in(codec)
        self._has_state, self._is_single = objects is not None, precision == "float32"
        self._decode = read_forecasts if objects is None else objects.decode

    def digest(self, key: bytes | None, value: bytes | None) -> bytes:
        """16 bytes, equal where the numbers are equal to the bit; zeros for what is no prediction at all."""
        try:
            content = self._read(value)
            if self._has_state:
                del content["state"]["origin"]
            return blake2b(_packed((key, content)), digest_size=DIGEST_BYTES).digest()
        except _DEFECTS:
            return UNREADABLE

    def _read(self, value: bytes | None) -> Any:
        """What is in a value; its numbers in the model's precision, for one number has several texts."""
        content = self._decode(value)
        if self._is_single and isinstance(content, dict):
            content |= {name: _in_float32(content[name]) for name in _NUMBERS if name in content}
        return content

    def _is_one_number(self, path: str, expected: Any, found: Any) -> bool:
        """Whether two numbers of the model differ in their texts alone."""
        are_numbers = self._is_single and path.startswith(_NUMBERS) and type(expected) is type(found) is float
        return are_numbers and _packed(_in_float32(expected)) == _packed(_in_float32(found))

    def shown(self, value: bytes | None) -> str:
        """A value as JSON, not too long; raw bytes where it cannot be read."""
        try:
            text = msgspec.json.encode(self._decode(value)).decode()
        except _DEFECTS:
            text = "no value" if value is None else f"{len(value)} bytes, unreadable: {value[:60]!r}"
        return text if len(text) <= LONGEST_SHOWN else text[:LONGEST_SHOWN] + "..."

    def differences(self, expected: bytes, found: bytes | None) -> tuple[str, str]:
        """The fields that differ, as expected and as found; the whole values where one cannot be read."""
        try:
            found_pairs = _differing("", self._decode(expected), self._decode(found))
            pairs = sorted((pair for pair in found_pairs if not self._is_one_number(*pair)), key=_rank)
        except _DEFECTS:
            return self.shown(expected), self.shown(found)
        if not pairs:
            return self.shown(expected), self.shown(found)
        more = f" and {len(pairs) - MOST_DIFFERENCES} more" if len(pairs) > MOST_DIFFERENCES else ""
        first = pairs[:MOST_DIFFERENCES]
        sides = [", ".join(_field(path, both[n]) for path, *both in first) for n in (0, 1)]
        return sides[0] + more, sides[1] + more


def _in_float32(said: Any) -> Any:
    """The same with the nearest float32 for each number that is no whole one."""
    if isinstance(said, dict):
        return {name: _in_float32(inner) for name, inner in said.items()}
    if isinstance(said, list):
        return array("f", said).tolist() if set(map(type, said)) == {float} else list(map(_in_float32, said))
    return array("f", (said,))[0] if type(said) is float else said


def _field(path: str, said: Any) -> str:
    return f"no {path}" if said is _ABSENT else f"{path} {said!r}"


def _rank(pair: tuple[str, Any, Any]) -> bool:
    """Numbers come last: they follow from the rest."""
    return pair[0].startswith(_NUMBERS)


def _differing(path: str, expected: Any, found: Any) -> Iterator[tuple[str, Any, Any]]:
    """The leaves that differ: path, expected, found; type and bits count, the origin of a state does not."""
    if isinstance(expected, dict) and isinstance(found, dict):
        for name in [*expected, *(name for name in found if name not in expected)]:
            inner = f"{path}.{name}" if path else str(name)
            if inner != "state.origin":
                yield from _differing(inner, expected.get(name, _ABSENT), found.get(name, _ABSENT))
    elif isinstance(expected, list) and isinstance(found, list):
        for n, (one, other) in enumerate(zip_longest(expected, found, fillvalue=_ABSENT)):
            yield from _differing(f"{path}[{n}]", one, other)
    elif _ABSENT in (expected, found) or _packed(expected) != _packed(found):
        yield path, expected, found
