"""JSON: ticks read as objects; predictions written as a text with a hole for each number.

All numbers of a batch become text in one call, each the shortest that reads back to the same float32 (float64 for
a model of that precision).
"""

import re
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import numpy as np
import orjson
from numpy.typing import NDArray

from streamrnn.codecs.formats.format import PredictionRows, PredictionWriter, numbers_width
from streamrnn.codecs.input_form import InputForm
from streamrnn.codecs.objects import ObjectReader
from streamrnn.codecs.value_columns import Reader
from streamrnn.codecs.walked_objects import WalkedReader
from streamrnn.nn.spec import ModelSpec
from streamrnn.ticks import ORIGINS

_ORIGIN_TEXTS = tuple(origin.encode() for origin in ORIGINS)


_LIST = msgspec.json.Decoder(list[msgspec.Raw])
_BARE = re.compile(rb'"(?:[^"\\]++|\\.)*+"|-?Infinity|NaN', re.DOTALL)
_STANDS_FOR = {b"NaN": b"null", b"Infinity": b"1e999", b"-Infinity": b"-1e999"}


class Json:
    """Objects as JSON text."""

    name = "json"

    def reader(self, spec: ModelSpec, form: InputForm) -> Reader:
        """See Format."""
        return WalkedReader(spec, ObjectReader(spec, form, self)).read

    def decoder(self, shape: Any) -> Callable[[bytes], Any]:
        """See ObjectFormat."""
        return msgspec.json.Decoder(shape).decode

    def decode(self, value: bytes | None) -> Any:
        """See ObjectFormat."""
        return msgspec.json.decode(value)  # type: ignore[arg-type]

    def repaired(self, value: bytes) -> bytes | None:
        """With NaN, Infinity and -Infinity, which other JSON writers write, as null and too large a number."""
        if b"NaN" not in value and b"Infinity" not in value:
            return None
        return _BARE.sub(lambda found: _STANDS_FOR.get(found[0], found[0]), value)

    def is_list(self, value: bytes) -> bool:
        """See ObjectFormat."""
        return value[0] == 0x5B or (value[0] <= 0x20 and value.lstrip()[:1] == b"[")

    def split(self, value: bytes) -> list[msgspec.Raw]:
        """See ObjectFormat."""
        return _LIST.decode(value)

    def predictions(self, spec: ModelSpec, shown: Sequence[bool]) -> PredictionWriter:
        """See ObjectFormat."""
        return _JsonPredictions(spec, shown)

    def write(self, objects: Sequence[Any]) -> list[bytes]:
        """See ObjectFormat; all become text in one call."""
        return msgspec.json.Encoder().encode_lines(objects).split(b"\n")[: len(objects)]


class _JsonPredictions:
    """One text of a model."""

    def __init__(self, spec: ModelSpec, shown: Sequence[bool]) -> None:
        self._text = _json_template(spec, shown)
        self._lines = msgspec.json.Encoder().encode_lines
        self._forecasts, self._horizons = numbers_width(spec, 0), len(spec.horizons)

    def fill(self, rows: PredictionRows) -> list[bytes]:
        """See PredictionWriter; at least one row."""
        count = len(rows.streams)
        streams = self._lines([stream.decode() for stream in rows.streams]).split(b"\n")[:count]
        forecasts, residuals = np.split(rows.numbers, (self._forecasts,), axis=1)
        numbers = _columns(_list_texts(forecasts.reshape(-1, self._horizons)), count)
        numbers += _columns(_texts(residuals.ravel()), count)
        times, steps = _texts(rows.time_ms), _texts(rows.steps)
        origins = [_ORIGIN_TEXTS[code] for code in rows.origin.tolist()]
        return list(map(self._text.__mod__, zip(streams, times, *numbers, steps, origins, strict=True)))


def _columns(texts: list[bytes], count: int) -> list[list[bytes]]:
    """Texts of so many rows, row after row, as columns."""
    width = len(texts) // count
    return [texts[n::width] for n in range(width)]


def _texts(numbers: NDArray[Any]) -> list[bytes]:
    """Every number as JSON text; null for what is not finite."""
    return _dumped(numbers)[1:-1].split(b",") if len(numbers) else []


def _list_texts(numbers: NDArray[Any]) -> list[bytes]:
    """Every row of numbers (n >= 1, K) as JSON text, without the list's brackets."""
    return _dumped(numbers)[2:-2].split(b"],[")


def _dumped(numbers: NDArray[Any]) -> bytes:
    return orjson.dumps(np.ascontiguousarray(numbers), option=orjson.OPT_SERIALIZE_NUMPY)


def _json_template(spec: ModelSpec, shown: Sequence[bool]) -> bytes:
    def quoted(text: str) -> str:
        return msgspec.json.encode(text).decode().replace("%", "%%")

    targets = "{" + ",".join(f"{quoted(target)}:[%b]" for target in spec.targets) + "}"
    parts = [f'{{"stream":%b,"time":%b,"model":{quoted(spec.label)},"prediction":{targets}']
    if len(spec.quantiles) > 1:
        parts.append(',"quantiles":{' + ",".join(f'"{level:g}":{targets}' for level in spec.quantiles) + "}")
    if any(shown):
        names = [quoted(target) for target, is_shown in zip(spec.targets, shown, strict=True) if is_shown]
        parts.append(',"residual":{' + ",".join(f"{name}:%b" for name in names) + "}")
    parts.append(',"state":{"steps":%b,"origin":"%b"}}')
    return "".join(parts).encode()
