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

from streamrnn.codecs.compiled.json_walk import walk_texts
from streamrnn.codecs.compiled.list_elements import ListElements, elements_in_texts
from streamrnn.codecs.formats.format import PredictionWriter
from streamrnn.codecs.formats.prediction_rows import Pieces, PredictionRows
from streamrnn.codecs.input_form import InputForm
from streamrnn.codecs.objects import ObjectReader
from streamrnn.codecs.value_columns import Reader
from streamrnn.codecs.walked_objects import WalkedReader
from streamrnn.config.input import KeyKind
from streamrnn.nn.spec import ModelSpec
from streamrnn.ticks import ORIGINS, PredictionBatch, Spans

_HOLE = b"\0"
"""Where a number goes: no byte of a JSON text."""
_LIST = msgspec.json.Decoder(list[msgspec.Raw])
_BARE = re.compile(rb'"(?:[^"\\]++|\\.)*+"|-?Infinity|NaN', re.DOTALL)
_STANDS_FOR = {b"NaN": b"null", b"Infinity": b"1e999", b"-Infinity": b"-1e999"}


class Json:
    """Objects as JSON text."""

    name = "json"

    def reader(self, spec: ModelSpec, form: InputForm) -> Reader:
        """See Format."""
        return WalkedReader(spec, ObjectReader(spec, form, self), walk_texts).read

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

    def split_all(self, values: Spans, most: int) -> ListElements | None:
        """See ObjectFormat."""
        return elements_in_texts(values, most)

    def predictions(self, spec: ModelSpec, key: KeyKind) -> PredictionWriter:
        """See Format."""
        return _JsonPredictions(spec, key)

    def write(self, objects: Sequence[Any]) -> list[bytes]:
        """See ObjectFormat; all become text in one call."""
        return msgspec.json.Encoder().encode_lines(objects).split(b"\n")[: len(objects)]


class _JsonPredictions:
    """The text of one model's values; orjson writes the numbers, two to three times as fast as numba could."""

    def __init__(self, spec: ModelSpec, key: KeyKind) -> None:
        from streamrnn.codecs.compiled.prediction_texts import put_texts  # numba is loaded only where it is used

        self._rows = PredictionRows(spec, key, _json_pieces(spec), put_texts)

    def write(self, said: PredictionBatch, keys: Spans) -> Spans:
        """See PredictionWriter."""
        texts = orjson.dumps(self._rows.numbers(said), option=orjson.OPT_SERIALIZE_NUMPY)
        return self._rows.write(said, keys, len(texts), np.frombuffer(texts, np.uint8))


def _json_pieces(spec: ModelSpec) -> Pieces:
    """One text, cut where the stream's name, the times and the numbers go."""
    names = [msgspec.json.encode(target) for target in spec.targets]
    lists = b"{" + b",".join(name + b":[" + b",".join([_HOLE] * len(spec.horizons)) + b"]" for name in names) + b"}"
    text = b',"model":' + msgspec.json.encode(spec.label) + b',"prediction":' + lists
    if len(spec.quantiles) > 1:
        text += b',"quantiles":{' + b",".join(b'"%b":' % f"{q:g}".encode() + lists for q in spec.quantiles) + b"}"
    *forecasts, after = text.split(_HOLE)
    return Pieces(
        head=b'{"stream":',
        time=b',"time":',
        after=after,
        residual=b',"residual":{',
        state=b',"state":{"steps":',
        origins=[b',"origin":"%b"}}' % origin.encode() for origin in ORIGINS],
        forecasts=forecasts,
        residuals=[name + b":" for name in names],
    )
