"""Why a record is no tick, in a code for machines and words for people. Knows no columns."""

from collections.abc import Mapping, Sequence

import msgspec

from streamrnn.codecs.input_form import InputForm

MOST_NAMES = 8


class Refused(Exception):
    """Inside the codecs only: why a record is no tick."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def size_refusal(value: bytes | None, most: int) -> Refused | None:
    """Why a value is not even looked into."""
    if value is None:
        return Refused("null", "the record has no value")
    if len(value) > most:
        return Refused("too_large", f"{len(value)} bytes, the limit is {most}")
    return None


def reading_refusal(error: Exception, form: InputForm, codes: Mapping[str, str]) -> Refused:
    """The reason behind what the decoder of JSON or MessagePack raised; codes by field, as its errors name it."""
    text = str(error)
    if isinstance(error, RecursionError):
        return Refused("too_deep", "nested too deeply")
    if not isinstance(error, msgspec.ValidationError):
        return Refused("undecodable", f"not {form.codec}: {text}")
    if "Expected `object`" in text and "`$." not in text:
        hint = "; input.records = list?" if "`array`" in text and form.records == "one" else ""
        return Refused("not_an_object", f"{text}{hint}")
    code = next((code for field, code in codes.items() if text.endswith(field)), None)
    if code is not None:
        return Refused(code, text)
    if "out of range" in text:
        return Refused("not_finite", f"infinite or too large: {text}")
    is_number = text.startswith("Expected `float") and ("`str`" in text or "`bool`" in text)
    hint = "; input.numbers = lenient?" if is_number and form.numbers == "strict" else ""
    return Refused("bad_type", f"{text}{hint}")


def missing_key(field: str | None) -> Refused:
    """Nothing names the stream; `field` is where a name was looked for, None the record's key."""
    where = f"field {field!r}" if field else "key"
    return Refused("missing_key", f"the record has no {where} to name its stream")


def feature_refusal(features: Sequence[str], names: Sequence[str]) -> Refused:
    """A value that names none of the model's features."""
    has = f"; the record has {_few(names)}" if names else ""
    return Refused("no_feature", f"none of the features {_few(features)}{has}")


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:MOST_NAMES]) + ", ..." * (len(names) > MOST_NAMES)


def sequence_refusal(number: int | None, field: str | None) -> Refused | None:
    """Why this is no place in a sequence; a whole number is one if it fits into 64 bits."""
    if number is None:
        return Refused("missing_sequence", f"the record has no field {field!r} to order it by")
    if not -(2**63) <= number < 2**63:
        return Refused("bad_sequence", "a whole number of more than 64 bits")
    return None
