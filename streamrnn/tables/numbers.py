"""Cells to float64: separators, what means no value, on and off. What is no number is refused.

Knows columns, not files. Shapes: R rows.
"""

import re
from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
from numpy.typing import NDArray

LARGEST = float(np.finfo(np.float32).max)
EXACT = (1 << 53) - 1
"""Up to here float64 tells every whole number from its neighbours."""
NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$|^[+-]?(?i:nan|inf|infinity)$"
SWITCHES = {"on": "1", "true": "1", "off": "0", "false": "0"}
NONE = frozenset(pyarrow.csv.ConvertOptions().null_values)


class Bad(Exception):
    """Inside only: what is wrong in row `index` of an array; `text` is the cell where that matters."""

    def __init__(self, index: int, reason: str, text: str | None = None) -> None:
        super().__init__(reason)
        self.index, self.text = index, text


class NumberReader:
    """Reads columns of numbers, and counts what was given as meaning no value.

    has_switches: on and true are 1, off and false 0. used: how often each of `missing` occurred.
    """

    def __init__(
        self,
        missing: tuple[str, ...] = (),
        decimal: str = ".",
        thousands: str | None = None,
        has_switches: bool = False,
    ) -> None:
        self.used: Counter[str] = Counter()
        self._missing, self._decimal, self._thousands = missing, decimal, thousands
        self._has_switches = has_switches
        self._markers = {text: number for text in missing if (number := _number(text)) is not None}
        groups = re.escape(thousands or "")
        self._grouped = rf"^[+-]?\d{{1,3}}({groups}\d{{3}})*({re.escape(decimal)}\d*)?$"

    def read(self, column: Any, is_whole: bool = False) -> NDArray[np.float64]:
        """Read a column as (R,) float64 with NaN for a missing value; Bad where a cell is no number.

        is_whole: the column is of integers, which must be exact in a float64.
        """
        numbers: NDArray[np.float64] = self._cast(column).to_numpy(zero_copy_only=False)
        for text, marker in self._markers.items():
            numbers = self._without(numbers, text, marker)
        most = EXACT if is_whole else LARGEST
        too_large = np.abs(numbers) > most
        if too_large.any():
            index = int(too_large.argmax())
            why = "a whole number beyond 2**53, not exact" if is_whole else "infinite, or too large for float32"
            shown = str(column[index].as_py()).strip()
            hint = f"--missing={shown} if it means none, or --features without it"
            raise Bad(index, f"{shown} is {why}; {hint}")
        return numbers

    def _without(self, numbers: NDArray[np.float64], text: str, marker: float) -> NDArray[np.float64]:
        hit = numbers == marker
        if count := int(hit.sum()):
            self.used[text] += count
            return np.where(hit, np.nan, numbers)
        return numbers

    def _cast(self, column: Any) -> Any:
        """The column as float64. Plain text is read in one go; any other text is read cell by cell."""
        if not pa.types.is_string(column.type):
            return pc.cast(column, pa.float64(), safe=False)
        if self._decimal == "." and self._thousands is None:
            try:
                return pc.cast(column, pa.float64())
            except pa.ArrowInvalid:
                pass
        return self._plain(column)

    def _plain(self, column: Any) -> Any:
        texts = pc.utf8_trim_whitespace(column)
        for text in self._missing:
            if text not in self._markers:
                self.used[text] += pc.sum(pc.equal(texts, text)).as_py() or 0
        means_none = pc.is_in(texts, pa.array([*NONE, *(set(self._missing) - set(self._markers))]))
        texts = pc.if_else(means_none, None, texts)
        if self._has_switches:
            for word, number in SWITCHES.items():
                texts = pc.if_else(pc.equal(pc.utf8_lower(texts), word), number, texts)
        texts = self._with_point(texts)
        no_number = pc.invert(pc.match_substring_regex(texts, NUMBER))
        index = pc.index(no_number, pa.scalar(True)).as_py()
        if index >= 0:
            text = column[index].as_py()
            raise Bad(index, f"{text!r} is not a number", text)
        return pc.cast(texts, pa.float64())

    def _with_point(self, texts: Any) -> Any:
        """The texts without separators of thousands and with a decimal point.

        A text whose digits are not grouped in threes stays as it is, and is then no number.
        """
        if self._thousands:
            joined = pc.replace_substring(texts, self._thousands, "")
            texts = pc.if_else(pc.match_substring_regex(texts, self._grouped), joined, texts)
        if self._decimal == ",":
            pointed = pc.replace_substring(texts, ",", ".")
            texts = pc.if_else(pc.match_substring(texts, "."), "?", pointed)
        return texts


def _number(text: str) -> float | None:
    """A marker of missing values as a number; None for NaN, infinity and what is no number."""
    try:
        number = float(text)
    except ValueError:
        return None
    return None if np.isnan(number) else number
