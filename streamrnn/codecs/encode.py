"""Predictions to records, in columns: all numbers of a batch become text in one call.

Shapes: n rows, K horizons, O targets, Q quantiles.
"""

from collections.abc import Callable, Iterator
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from streamrnn.nn.spec import ModelSpec
from streamrnn.ticks import ORIGINS, OutRecord, PredictionBatch

Headers = list[tuple[str, bytes]]


class Encoder:
    """Prediction records of one model; key, partition and timestamp are the tick's."""

    def __init__(self, spec: ModelSpec, codec: Literal["json", "msgpack"] = "json") -> None:
        self._spec = spec
        self._label = spec.label.encode()
        self._values: Callable[[PredictionBatch], Iterator[bytes]] = self._json
        if codec == "msgpack":
            self._values = self._msgpack
        self._template, self._bare = _template(spec, True), _template(spec, False)

    def encode(self, batch: PredictionBatch) -> list[OutRecord]:
        """Records of the rows that are ok, in row order."""
        ticks, ok = batch.ticks, batch.ok.tolist()
        label = self._label
        rows = zip(
            *(ok, ticks.partition.tolist(), ticks.offset.tolist(), ticks.arrival_ms.tolist(), ticks.streams),
            self._values(batch),
            strict=True,
        )
        return [
            OutRecord(
                partition,
                arrival_ms,
                stream,
                value,
                [("src-partition", b"%d" % partition), ("src-offset", b"%d" % offset), ("model", label)],
            )
            for good, partition, offset, arrival_ms, stream, value in rows
            if good
        ]

    def _json(self, batch: PredictionBatch) -> Iterator[bytes]:
        """JSON by template: the prediction, then the quantiles, then the residual where all of it is known."""
        n, targets = len(batch.ticks), len(self._spec.targets)
        numbers = _by_target(batch.values)
        per_row = numbers.shape[1]
        texts = _texts(numbers)
        residuals = _texts(batch.residual)
        there = (~np.isnan(batch.residual)).sum(axis=1).tolist()
        escape = msgspec.json.Encoder().encode
        steps, origins = batch.steps.tolist(), batch.origin.tolist()
        times, streams = batch.ticks.time_ms.tolist(), batch.ticks.streams
        for i in range(n):
            head = (escape(streams[i].decode()), times[i], *texts[i * per_row : (i + 1) * per_row])
            tail = (steps[i], _ORIGINS[origins[i]])
            if there[i] == targets:
                yield self._template % (*head, *residuals[i * targets : (i + 1) * targets], *tail)
            elif there[i]:
                partial = _template(self._spec, True, batch.residual[i])
                yield partial % (*head, *_known(residuals, i, targets), *tail)
            else:
                yield self._bare % (*head, *tail)

    def _msgpack(self, batch: PredictionBatch) -> Iterator[bytes]:
        encode = msgspec.msgpack.Encoder().encode
        for i in range(len(batch.ticks)):
            yield encode(as_object(self._spec, batch, i))


_ORIGINS = tuple(origin.encode() for origin in ORIGINS)


def _by_target(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n, K, O, Q) to (n, O*K [middle quantile] + Q*O*K), Q part only where Q > 1."""
    n, _, _, quantiles = values.shape
    ordered = values.transpose(0, 3, 2, 1)
    middle = ordered[:, quantiles // 2].reshape(n, values.shape[1] * values.shape[2])
    if quantiles == 1:
        return np.ascontiguousarray(middle)
    return np.concatenate((middle, ordered.reshape(n, values[0].size if n else 0)), axis=1)


def _texts(numbers: NDArray[np.float32]) -> list[bytes]:
    """Every number, in order, as JSON text that reads back as the same float32; null for NaN."""
    flat = numbers.ravel().tolist()
    return msgspec.json.encode(flat)[1:-1].split(b",") if flat else []


def _known(texts: list[bytes], row: int, targets: int) -> list[bytes]:
    return [text for text in texts[row * targets : (row + 1) * targets] if text != b"null"]


def _template(spec: ModelSpec, residual: bool, row: NDArray[np.float32] | None = None) -> bytes:
    """The record's text with a %b for each number; `row` (O,) leaves out targets whose residual is NaN."""
    lists = "[" + ",".join(["%b"] * len(spec.horizons)) + "]"

    def quoted(text: str) -> str:
        return msgspec.json.encode(text).decode().replace("%", "%%")

    targets = "{" + ",".join(f"{quoted(t)}:{lists}" for t in spec.targets) + "}"
    parts = [f'{{"stream":%b,"time":%d,"model":{quoted(spec.label)},"prediction":{targets}']
    if spec.quantiles and len(spec.quantiles) > 1:
        levels = ",".join(f'"{level:g}":{targets}' for level in spec.quantiles)
        parts.append(f',"quantiles":{{{levels}}}')
    if residual:
        shown = [t for i, t in enumerate(spec.targets) if row is None or not np.isnan(row[i])]
        parts.append(',"residual":{' + ",".join(f"{quoted(t)}:%b" for t in shown) + "}")
    parts.append(',"state":{"steps":%d,"origin":"%b"}}')
    return "".join(parts).encode()


def as_object(spec: ModelSpec, batch: PredictionBatch, i: int) -> dict[str, Any]:
    """Row i as the contract draws it: the plain form of what `encode` writes."""
    values = batch.values[i]
    middle = values.shape[2] // 2

    def lists(quantile: int) -> dict[str, list[float]]:
        return {target: values[:, o, quantile].tolist() for o, target in enumerate(spec.targets)}

    record: dict[str, Any] = {
        "stream": batch.ticks.streams[i].decode(),
        "time": int(batch.ticks.time_ms[i]),
        "model": spec.label,
        "prediction": lists(middle),
    }
    if len(spec.quantiles) > 1:
        record["quantiles"] = {f"{level:g}": lists(q) for q, level in enumerate(spec.quantiles)}
    residual = {t: float(r) for t, r in zip(spec.targets, batch.residual[i], strict=True) if not np.isnan(r)}
    if residual:
        record["residual"] = residual
    record["state"] = {"steps": int(batch.steps[i]), "origin": ORIGINS[batch.origin[i]]}
    return record
