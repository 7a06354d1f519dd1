"""The beginning of a safetensors file, read and written as the library itself does."""

import numpy as np
import pytest
from safetensors.numpy import load, save

from streamrnn.stores.tensor_header import LENGTH_BYTES, TensorPlace, decode_header, encode_header, header_length

ARRAYS = {"b": np.arange(6, dtype=np.float32).reshape(2, 3), "a": np.array([1, 2], np.int64)}


def test_a_file_of_the_librarys_is_understood() -> None:
    raw = save(ARRAYS, metadata={"who": "somebody"})
    length = header_length(raw, len(raw))
    places = decode_header(raw[LENGTH_BYTES : LENGTH_BYTES + length])
    assert set(places) == set(ARRAYS)
    for name, array in ARRAYS.items():
        start, end = (LENGTH_BYTES + length + at for at in places[name].data_offsets)
        assert places[name].shape == array.shape
        assert raw[start:end] == array.tobytes()


def test_the_library_understands_what_is_written() -> None:
    header = encode_header({"a": TensorPlace("I64", (2,), (0, 16)), "b": TensorPlace("F32", (2, 3), (16, 40))})
    assert len(header) % 8 == 0
    found = load(header + ARRAYS["a"].tobytes() + ARRAYS["b"].tobytes())
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(found[name], array, strict=True)


@pytest.mark.parametrize(
    ("start", "claims"),
    [(b"", 0), (b"x", 0), (b"\1" + bytes(7), 1), (b"\x0b" + bytes(7), 11), (b"\xff" * 8, 2**64 - 1)],
)
def test_a_length_out_of_bounds_is_refused(start: bytes, claims: int) -> None:
    with pytest.raises(ValueError, match=f"its header claims {claims} bytes"):
        header_length(start, 10)


@pytest.mark.parametrize(
    "text", [b"", b"[]", b"{", b'{"a": 1}', b'{"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}}']
)
def test_what_is_no_header_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        decode_header(text)
