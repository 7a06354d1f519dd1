"""A key is shown as struct and uuid read it, and what is shown leads back to it."""

import struct
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamrnn.codecs.keys import begins, from_text, to_text
from streamrnn.config.input import KeyKind
from streamrnn.errors import DataError


def assert_both_ways(key: bytes, text: str, kind: KeyKind) -> None:
    assert to_text(key, kind) == text
    assert from_text(text, kind) == key
    for end in (0, 1, len(text)):
        assert begins(text[:end], kind)(key)
    assert not begins(text + "0", kind)(key)


@given(st.integers(-(2**63), 2**63 - 1))
def test_eight_bytes_are_what_javas_long_serializer_writes(number: int) -> None:
    assert_both_ways(struct.pack(">q", number), str(number), "int64")


@given(st.integers(-(2**31), 2**31 - 1))
def test_four_bytes_are_what_javas_integer_serializer_writes(number: int) -> None:
    assert_both_ways(struct.pack(">i", number), str(number), "int32")


@given(st.uuids())
def test_sixteen_bytes_are_a_uuid(number: uuid.UUID) -> None:
    assert_both_ways(number.bytes, str(number), "uuid")


@given(st.binary(min_size=1, max_size=1024))
def test_any_bytes_are_hex(key: bytes) -> None:
    assert_both_ways(key, "".join(f"{byte:02x}" for byte in key), "bytes")


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=256))
def test_text_is_itself(text: str) -> None:
    assert_both_ways(text.encode(), text, "text")


@pytest.mark.parametrize(
    ("kind", "key", "text"),
    [("int64", b"\0" * 7, "0x00000000000000"), ("text", b"\xff", "0xff"), ("uuid", b"", "0x")],
)
def test_what_is_no_such_key_is_hex_behind_0x(kind: KeyKind, key: bytes, text: str) -> None:
    assert to_text(key, kind) == text


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("int64", "pump"), ("int64", ""), ("int64", "1.5"), ("int64", str(2**63)), ("int32", str(2**31)),
        ("uuid", "17"), ("bytes", "abc"), ("bytes", "0xff"), ("bytes", ""), ("text", ""), ("text", "x" * 1025),
        ("text", "\ud800"), ("bytes", "00" * 1025),
    ],
)  # fmt: skip
def test_text_that_no_key_is_shown_as_is_refused_with_the_option(kind: KeyKind, text: str) -> None:
    with pytest.raises(DataError, match=f"is no key of input.key = {kind}: "):
        from_text(text, kind)
