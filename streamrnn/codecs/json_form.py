"""Predictions as JSON: a text with a hole for each number; all numbers of a batch become text in one call."""

from collections.abc import Sequence
from typing import Any

import msgspec

from streamrnn.codecs.forms import Rows
from streamrnn.codecs.numbers import shortened
from streamrnn.nn.spec import ModelSpec
from streamrnn.ticks import ORIGINS

_ORIGIN_TEXTS = tuple(origin.encode() for origin in ORIGINS)


class JsonForm:
    """One text of a model; `shown` tells which targets have a residual."""

    def __init__(self, spec: ModelSpec, shown: Sequence[bool]) -> None:
        self._is_double = spec.precision == "float64"  # whose shortest text is the one that reads back the same
        self._text = _json_template(spec, shown)
        self._lines = msgspec.json.Encoder().encode_lines

    def fill(self, rows: Rows) -> list[bytes]:
        count, width = rows.numbers.shape
        streams = self._lines([stream.decode() for stream in rows.streams]).split(b"\n")[:count]
        short = rows.numbers if self._is_double else shortened(rows.numbers)
        numbers = _texts(short.ravel().tolist())
        columns = [numbers[n::width] for n in range(width)]
        times, steps = _texts(rows.time_ms.tolist()), _texts(rows.steps.tolist())
        origins = [_ORIGIN_TEXTS[code] for code in rows.origin.tolist()]
        return list(map(self._text.__mod__, zip(streams, times, *columns, steps, origins, strict=True)))


def _texts(numbers: list[Any]) -> list[bytes]:
    """Every number as JSON text; null for NaN."""
    return msgspec.json.encode(numbers)[1:-1].split(b",") if numbers else []


def _json_template(spec: ModelSpec, shown: Sequence[bool]) -> bytes:
    lists = "[" + ",".join(["%b"] * len(spec.horizons)) + "]"

    def quoted(text: str) -> str:
        return msgspec.json.encode(text).decode().replace("%", "%%")

    targets = "{" + ",".join(f"{quoted(target)}:{lists}" for target in spec.targets) + "}"
    parts = [f'{{"stream":%b,"time":%b,"model":{quoted(spec.label)},"prediction":{targets}']
    if len(spec.quantiles) > 1:
        parts.append(',"quantiles":{' + ",".join(f'"{level:g}":{targets}' for level in spec.quantiles) + "}")
    if any(shown):
        names = [quoted(target) for target, is_shown in zip(spec.targets, shown, strict=True) if is_shown]
        parts.append(',"residual":{' + ",".join(f"{name}:%b" for name in names) + "}")
    parts.append(',"state":{"steps":%b,"origin":"%b"}}')
    return "".join(parts).encode()
