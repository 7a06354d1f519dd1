"""Predictions to records one by one, in plain words: the slow twin of what codecs/compiled writes."""

from typing import Any

import msgspec
import numpy as np
import orjson

from streamrnn.codecs.headers import MODEL, SOURCE_INDEX, SOURCE_OFFSET, SOURCE_PARTITION
from streamrnn.codecs.keys import to_text
from streamrnn.config.input import KeyKind
from streamrnn.nn.spec import ModelSpec
from streamrnn.ticks import NO_INDEX, ORIGINS, OutRecord, PredictionBatch


def records_of(spec: ModelSpec, codec: str, kind: KeyKind, said: PredictionBatch) -> list[OutRecord]:
    """What Encoder.encode is to say."""
    write = {"json": json_value, "msgpack": packed, "float32": numbers_alone}[codec]
    return [
        OutRecord(
            place[0],
            int(said.ticks.arrival_ms[row]),
            said.ticks.streams[row],
            write(said.values[row] if codec == "float32" else content(spec, kind, said, row)),
            headers(spec, *place),
            place,
        )
        for row, place in enumerate(said.ticks.places())
        if said.ok[row]
    ]


def headers(spec: ModelSpec, partition: int, offset: int, index: int) -> list[tuple[str, bytes]]:
    element = [] if index == NO_INDEX else [(SOURCE_INDEX, b"%d" % index)]
    named = [(SOURCE_PARTITION, b"%d" % partition), (SOURCE_OFFSET, b"%d" % offset), *element]
    return [*named, (MODEL, spec.label.encode())]


def content(spec: ModelSpec, kind: KeyKind, said: PredictionBatch, row: int) -> dict[str, Any]:
    def by_target(level: int) -> dict[str, Any]:
        return {target: list(said.values[row, :, o, level]) for o, target in enumerate(spec.targets)}

    told: dict[str, Any] = {
        "stream": to_text(said.ticks.streams[row], kind),
        "time": int(said.ticks.time_ms[row]),
        "model": spec.label,
        "prediction": by_target(len(spec.quantiles) // 2),
    }
    if len(spec.quantiles) > 1:
        told["quantiles"] = {f"{quantile:g}": by_target(level) for level, quantile in enumerate(spec.quantiles)}
    residual = zip(spec.targets, said.residual[row], strict=True)
    if known := {target: number for target, number in residual if not np.isnan(number)}:
        told["residual"] = known
    told["state"] = {"steps": int(said.steps[row]), "origin": ORIGINS[said.origin[row]]}
    return told


def json_value(told: dict[str, Any]) -> bytes:
    return orjson.dumps(told, option=orjson.OPT_SERIALIZE_NUMPY)


def numbers_alone(values: Any) -> bytes:
    """(K, O, Q) one by one."""
    with np.errstate(over="ignore", invalid="ignore"):
        numbers = [np.float32(number) for of in values for by_level in of for number in by_level]
    return b"".join(number.tobytes() for number in numbers)


def packed(told: Any) -> bytes:
    """MessagePack with numbers of the model's precision, and whole numbers as int64."""
    if isinstance(told, dict):
        inner = b"".join(packed(name) + packed(value) for name, value in told.items())
        return _sized(0x80, 0xDE, len(told)) + inner
    if isinstance(told, list):
        return _sized(0x90, 0xDC, len(told)) + b"".join(map(packed, told))
    if isinstance(told, np.floating):
        return {4: b"\xca", 8: b"\xcb"}[told.itemsize] + told.tobytes()[::-1]
    if isinstance(told, int):
        return b"\xd3" + told.to_bytes(8, "big", signed=True)
    return msgspec.msgpack.encode(told)


def _sized(small: int, large: int, count: int) -> bytes:
    return bytes([small | count]) if count < 16 else bytes([large]) + count.to_bytes(2, "big")
