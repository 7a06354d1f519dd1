"""Ways through JSON text that take nothing from it: behind white space, a sign, a word, or any value.

Each gives the place behind, or NOWHERE where the text is not surely what the slow twin (msgspec) takes. Places are
unsigned; no byte at or behind `stop` is read. Bytes that are not ASCII may be anything within a text, as there.
"""

from typing import Any

import numpy as np

from streamrnn.codecs.compiled import json_numbers
from streamrnn.codecs.compiled.json_numbers import FOUR, NOWHERE, ONE, U, number
from streamrnn.process.compiling import borrowing, compiled_with

DEEPEST = 60
"""Lists and objects in one another that are passed over."""
TWO = U(2)
NULL, TRUE, FALSE = (np.frombuffer(word, np.uint8) for word in (b"null", b"true", b"false"))


@borrowing
def blank(data: Any, at: Any, stop: Any) -> Any:
    """Behind white space."""
    while at < stop and (data[at] == 0x20 or data[at] == 0x0A or data[at] == 0x0D or data[at] == 0x09):
        at += ONE
    return at


@borrowing
def behind(data: Any, at: Any, stop: Any, sign: int) -> Any:
    """Behind a sign with white space before and after it."""
    at = blank(data, at, stop)
    return blank(data, at + ONE, stop) if at < stop and data[at] == sign else NOWHERE


@borrowing
def plain(data: Any, at: Any, stop: Any) -> Any:
    """The first quote, backslash or control character from here on."""
    while at < stop and data[at] != 0x22 and data[at] != 0x5C and data[at] >= 0x20:
        at += ONE
    return at


@borrowing
def literal(data: Any, at: Any, stop: Any, word: Any) -> Any:
    """Behind a word."""
    if stop - at < U(len(word)):
        return NOWHERE
    for n in range(len(word)):
        if data[at + U(n)] != word[n]:
            return NOWHERE
    return at + U(len(word))


@compiled_with(json_numbers, is_borrowing=True)
def passed(data: Any, at: Any, stop: Any) -> Any:
    """Behind any value, whatever is in it."""
    depth, kinds = 0, U(0)  # of the innermost the lowest bit: 1 for an object
    while at < stop:
        if data[at] == 0x7B or data[at] == 0x5B:
            if depth == DEEPEST:
                return NOWHERE
            is_object = data[at] == 0x7B
            depth, kinds = depth + 1, kinds << ONE | U(is_object)
            at = blank(data, at + ONE, stop)
            if at < stop and data[at] != (0x7D if is_object else 0x5D):
                at = _passed_key(data, at, stop) if is_object else at
                continue
        else:
            at = _passed_scalar(data, at, stop)
        while depth:
            at = blank(data, at, stop)
            if at >= stop or data[at] != (0x7D if kinds & ONE else 0x5D):
                break
            depth, kinds, at = depth - 1, kinds >> ONE, at + ONE
        if depth == 0:
            return at
        at = behind(data, at, stop, 0x2C)
        if kinds & ONE:
            at = _passed_key(data, at, stop)
    return NOWHERE


@borrowing
def _passed_key(data: Any, at: Any, stop: Any) -> Any:
    """Behind a key and its colon."""
    return behind(data, _passed_text(data, at, stop), stop, 0x3A)


@compiled_with(json_numbers, is_borrowing=True)
def _passed_scalar(data: Any, at: Any, stop: Any) -> Any:
    """Behind a text, a number or a word."""
    if data[at] == 0x22:
        return _passed_text(data, at, stop)
    if data[at] == 0x74:
        return literal(data, at, stop, TRUE)
    if data[at] == 0x66:
        return literal(data, at, stop, FALSE)
    return literal(data, at, stop, NULL) if data[at] == 0x6E else number(data, at, stop)[0]


@borrowing
def _passed_text(data: Any, at: Any, stop: Any) -> Any:
    """Behind a text with its quotes; surrogates are not looked into."""
    if at >= stop or data[at] != 0x22:
        return NOWHERE
    at = plain(data, at + ONE, stop)
    while at < stop and stop - at > ONE and data[at] == 0x5C:
        sign = data[at + ONE]
        at += TWO
        if sign == 0x75:
            at = _hex(data, at, stop)
        elif not (sign == 0x22 or sign == 0x5C or sign == 0x2F or sign == 0x62 or sign == 0x66):
            at = at if sign == 0x6E or sign == 0x72 or sign == 0x74 else NOWHERE
        at = plain(data, at, stop)
    return at + ONE if at < stop and data[at] == 0x22 else NOWHERE


@borrowing
def _hex(data: Any, at: Any, stop: Any) -> Any:
    """Behind four hex digits that are no half of a pair."""
    if stop - at < FOUR or (data[at] | 0x20 == 0x64 and data[at + ONE] >= 0x38):
        return NOWHERE
    for n in range(4):
        digit = data[at + U(n)]
        if not (0x30 <= digit <= 0x39 or 0x61 <= digit | 0x20 <= 0x66):
            return NOWHERE
    return at + FOUR
