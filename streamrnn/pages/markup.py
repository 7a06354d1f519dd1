"""Text to markup. Owns escaping: what is not Markup by type is text, whatever is in it.

Written so that both an HTML and an XML parser read it. Knows no report.
"""

import re
from collections.abc import Iterable, Sequence
from html import escape

VOID = frozenset({"meta", "wbr"})
BROKEN = re.compile("[^\t\n\x20-\x7e\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What an XML document may not hold, or a terminal should not be shown: control characters, lone surrogates."""
JOINT = re.compile(r"(?<=[\w@][_/.:-])(?=\w)")
TURNING = re.compile("[\u202a-\u202e\u2066-\u2069]")
"""Characters that turn the direction of those after them."""

Value = str | int | float | None


class Markup(str):
    """A str that is markup already and is not escaped again."""

    __slots__ = ()


def text(raw: str) -> Markup:
    """Any text as markup that shows it; characters that no page may hold become U+FFFD."""
    return raw if isinstance(raw, Markup) else Markup(escape(BROKEN.sub("\ufffd", raw)))


def tag(element: str, *children: str, **attributes: Value) -> Markup:
    """An element: `class_` is class, `aria_label` is aria-label, an attribute of None is left out."""
    pairs = [
        f' {key.rstrip("_").replace("_", "-")}="{escape(BROKEN.sub(chr(0xFFFD), str(value)))}"'
        for key, value in attributes.items()
        if value is not None
    ]
    opened = f"<{element}{''.join(pairs)}"
    if element in VOID:
        return Markup(f"{opened}/>")
    return Markup(f"{opened}>{''.join(map(text, children))}</{element}>")


def join(parts: Iterable[str], between: str = "\n") -> Markup:
    """Parts, each escaped if it is not markup, one after the other."""
    return Markup(between.join(map(text, parts)))


def shortened(raw: str, most: int) -> str:
    """At most so many characters: the middle goes, for names differ at their ends."""
    if len(raw) <= most:
        return raw
    tail = (most - 1) // 3
    return f"{raw[: most - 1 - tail]}\u2026{raw[len(raw) - tail :]}"


def named(raw: str, most: int = 64) -> Markup:
    """A name from outside: its direction cannot turn the words around it, its length is bounded.

    Where it must be broken, it is best after punctuation.
    """
    words = JOINT.split(shortened(raw, most) or "(no name)")
    return tag("bdi", join(words, tag("wbr")), title=raw if len(raw) > most else None)


def isolated(raw: str, most: int = 64) -> str:
    """As `named`, in plain text: between Unicode's first-strong isolates, without turning marks of its own."""
    return f"\u2068{TURNING.sub('', shortened(raw, most))}\u2069"


def cell(value: float | None, written: str, best: float | None) -> Markup:
    """A number's cell of a table; the best of its row stands out."""
    is_best = value is not None and value == best
    return tag("td", tag("strong", written) if is_best else written, class_="n")


def table(caption: str, head: Sequence[str], rows: Iterable[Sequence[str]], class_: str | None = None) -> Markup:
    """A table whose first cells name the rows; it scrolls by itself where the page is too narrow for it.

    head and rows: texts or markup; a cell that is no `td` yet becomes one.
    """
    first, *rest = head
    numeric = [tag("th", first, scope="col"), *(tag("th", title, scope="col", class_="n") for title in rest)]
    body = [tag("tr", tag("th", start, scope="row"), *map(_boxed, more)) for start, *more in rows]
    title = tag("caption", tag("span", caption))
    whole = tag("table", title, tag("thead", tag("tr", *numeric)), tag("tbody", join(body)))
    return tag("div", whole, class_=f"scroll {class_ or ''}".strip(), tabindex=0, role="region", aria_label=caption)


def _boxed(content: str) -> Markup:
    return content if isinstance(content, Markup) and content.startswith("<td") else tag("td", content, class_="n")
