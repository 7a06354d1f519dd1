"""Every codec that the settings know is a format, and what has objects has all that is asked of them."""

from typing import get_args

import numpy as np
import pytest

from streamrnn.codecs.formats.format import UNREADABLE
from streamrnn.codecs.formats.known import FORMATS, OBJECT_FORMATS, objects_in
from streamrnn.codecs.formats.packed import write_packed
from streamrnn.codecs.input_form import InputForm
from streamrnn.codecs.second_look import names_in
from streamrnn.config import Settings
from streamrnn.config.input import WITHOUT_FIELDS, Codec
from streamrnn.nn.spec import Channel, ModelSpec

SPEC = ModelSpec(name="t", features=("a", "b"), targets=("a",), channels=(Channel("a"),))
BROKEN = {"json": (b"{", b"[" * 100_000, b"", b"\xc1"), "msgpack": (b"\xc1", b"\x91" * 100_000, b"", b"\x81\xa1")}
OBJECTS = pytest.mark.parametrize("codec", OBJECT_FORMATS)


def test_the_settings_name_the_formats_and_no_other() -> None:
    assert set(FORMATS) == set(get_args(Codec))
    assert {codec for codec in FORMATS if objects_in(codec) is None} == set(WITHOUT_FIELDS)
    assert set(FORMATS) == set(get_args(type(Settings().output).model_fields["codec"].annotation))


@OBJECTS
def test_objects_that_are_written_are_read_back_whole_by_name_or_as_a_type(codec: str) -> None:
    form = OBJECT_FORMATS[codec]
    said = [{"a": 1.5, "b": {"c": 'x"\n'}}, {"a": None}, {}]
    values = form.write(said)
    assert [form.decode(value) for value in values] == said
    assert [form.decoder(dict[str, object])(value) for value in values] == said
    assert form.write([]) == []
    assert names_in(values[0], form) == ["a", "b.c"]


@OBJECTS
def test_a_list_is_told_from_other_values_and_split(codec: str) -> None:
    form = OBJECT_FORMATS[codec]
    for elements in ([], [{"a": 1}], [{"a": n} for n in range(20)], [0] * 70_000):
        (value,) = form.write([elements])
        assert form.is_list(value)
        assert [form.decode(bytes(element)) for element in form.split(value)] == elements
    for other in ({"a": [1]}, {}, 1, None, "[1]"):
        assert not form.is_list(form.write([other])[0])


@OBJECTS
def test_what_cannot_be_read_raises_one_of_the_errors_that_are_caught(codec: str) -> None:
    form = OBJECT_FORMATS[codec]
    for broken in BROKEN[codec]:
        for read in (form.decode, form.split, form.decoder(dict[str, float])):
            with pytest.raises(UNREADABLE):
                read(broken)
        assert form.repaired(broken) is None


def test_packed_numbers_are_read_as_they_were_written() -> None:
    numbers = np.array([[1.5, float("inf")], [-0.0, 3e38]], np.float32)
    columns = FORMATS["float32"].reader(SPEC, InputForm("float32"))(write_packed(numbers), {})
    assert columns.features.tobytes() == numbers.tobytes()
