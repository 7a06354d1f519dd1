"""Numbers that float32 does not hold, from the record to the prediction: exact for a float64 model."""

import msgspec
import numpy as np
import pytest

from streamrnn.codecs import Decoder, Encoder
from streamrnn.config.input import Codec
from streamrnn.nn.spec import Channel, ModelSpec, Precision
from streamrnn.ticks import Errors, PredictionBatch, Record

SPEC = ModelSpec(
    name="t",
    features=("wh",),
    targets=("wh",),
    channels=(Channel("wh", "difference"),),
    quantiles=(0.1, 0.5, 0.9),
    precision="float64",
)
NUMBERS = [987_654_324.0, 987_654_330.0, 987_654_327.123456, 0.1, 2.5, -3e38]
FORMATS = {"json": msgspec.json, "msgpack": msgspec.msgpack}


def records(codec: Codec, numbers: list[float]) -> list[Record]:
    values = [FORMATS[codec].encode({"wh": number}) for number in numbers]  # type: ignore[attr-defined]
    return [Record(0, n, 0, b"m", value) for n, value in enumerate(values)]


@pytest.mark.parametrize("codec", FORMATS)
@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_values_are_read_in_the_models_precision(codec: Codec, precision: Precision) -> None:
    ticks, dead = Decoder(msgspec.structs.replace(SPEC, precision=precision), codec=codec).decode(
        records(codec, NUMBERS)
    )
    assert (dead, ticks.values.dtype) == ([], np.dtype(precision))
    assert ticks.values[:, 0].tolist() == np.array(NUMBERS, precision).tolist()


@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_what_is_too_large_for_float32_is_refused_by_every_model(precision: Precision) -> None:
    spec = msgspec.structs.replace(SPEC, precision=precision)
    ticks, dead = Decoder(spec).decode(records("json", [1.0, 1e39, -1e300]))
    assert (len(ticks), [letter.code for letter in dead]) == (1, ["not_finite"] * 2)


@pytest.mark.parametrize("codec", FORMATS)
def test_predictions_are_written_so_that_the_same_numbers_are_read_back(codec: str) -> None:
    ticks, _ = Decoder(SPEC).decode(records("json", NUMBERS))
    n, numbers = len(NUMBERS), np.array(NUMBERS)
    values = numbers[:, None, None, None] + np.zeros((n, 1, 1, 3))
    batch = PredictionBatch(
        ticks,
        values,
        numbers[:, None] / 3,
        np.ones(n, np.int64),
        np.zeros(n, np.uint8),
        np.zeros(n, np.uint8),
        Errors(*[np.zeros((1, 1))] * 6),
    )
    said = [FORMATS[codec].decode(record.value) for record in Encoder(SPEC, codec).encode(batch)]  # type: ignore
    assert [one["prediction"]["wh"] for one in said] == [[number] for number in NUMBERS]
    assert [one["quantiles"]["0.9"]["wh"] for one in said] == [[number] for number in NUMBERS]
    assert [one["residual"]["wh"] for one in said] == [number / 3 for number in NUMBERS]
