"""The fields of a struct as flags of a command: name, bounds, help and default come from their one declaration.

A field whose type has a description (msgspec.Meta) is a flag of the field's encoded name; the title stands for the
value in the usage, and the bounds say how it is read. Knows no command and no option.
"""

import argparse
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints

import msgspec
import msgspec.inspect

from streamrnn.commands.arguments import (
    count,
    counts,
    moment,
    names,
    natural,
    not_negative,
    numbers,
    offsets,
    one_of,
    part,
    positive,
    share,
    shares,
)

Read = Callable[[str], Any]
BY_TITLE: Mapping[str, Read] = {"TIME": moment, "PARTITION:FROM-TO": offsets, "A,B,C": shares}
"""How a value is read whose type does not tell."""


class Flag(NamedTuple):
    """One field as a flag: its name in the struct and on the command line, its bare type, what else the type says
    (bounds, title, description, min_length), and its default in the struct."""

    field: str
    name: str
    type: Any
    said: Mapping[str, Any]
    default: Any


def add_flags(
    group: argparse._ActionsContainer,
    struct: type,
    usual: object = None,
    worked_out: Mapping[str, str] | None = None,
) -> None:
    """Add a flag for every described field, with the field's default in the help.

    usual: an object whose values stand where a flag is not given, and which then is None among the arguments; else
    it is the struct's default. worked_out: in words, defaults that are only known when the job runs.
    """
    for flag in _flags(struct):
        default = flag.default if usual is None else getattr(usual, flag.field)
        shown = (worked_out or {}).get(flag.field) or _shown(default)
        text = flag.said["description"] + (f" (default: {shown})" if shown else "")
        given = _action(flag, None if usual is not None else flag.default)
        group.add_argument(f"--{flag.name}", help=text.replace("%", "%%"), **given)


def given(args: argparse.Namespace, struct: type) -> dict[str, Any]:
    """The values of the struct's fields that the arguments give. Fields that were left open are not among them."""
    values = {flag.field: getattr(args, flag.name.replace("-", "_")) for flag in _flags(struct)}
    return {name: tuple(v) if isinstance(v, list) else v for name, v in values.items() if v is not None}


def _flags(struct: type) -> Iterator[Flag]:
    hints = get_type_hints(struct, include_extras=True)
    told = msgspec.inspect.type_info(struct)
    assert isinstance(told, msgspec.inspect.StructType | msgspec.inspect.DataclassType)
    for field in told.fields:
        bare, said = _unwrap(hints[field.name])
        if "description" in said:
            yield Flag(field.name, field.encode_name.replace("_", "-"), bare, said, field.default)


def _unwrap(hint: Any) -> tuple[Any, dict[str, Any]]:
    """A type without None and without its metas, and what the metas say."""
    if get_origin(hint) is Annotated:
        inner, *metas = get_args(hint)
        bare, said = _unwrap(inner)
        words = ("title", "description", "gt", "ge", "lt", "le", "min_length")
        for meta in metas:
            said |= {word: value for word in words if (value := getattr(meta, word)) is not None}
        return bare, said
    if get_origin(hint) in (Union, UnionType):
        return _unwrap(next(one for one in get_args(hint) if one is not NoneType))
    return hint, {}


def _action(flag: Flag, default: Any) -> dict[str, Any]:
    """How argparse is to take a flag: the keyword arguments of add_argument."""
    if flag.type is bool:
        return {"action": "store_true"} if default is False else {"action": argparse.BooleanOptionalAction}
    if get_origin(flag.type) is Literal:
        return {**one_of(*get_args(flag.type)), "default": default}
    title = flag.said.get("title") or _title(flag.type)
    taken = {"type": _read(flag), "metavar": title, "default": default}
    if title == "PARTITION:FROM-TO":
        taken |= {"action": "append", "default": list(default)}
    return taken


def _title(kind: Any) -> str:
    if get_origin(kind) is tuple:
        return "A,B"
    return {Path: "DIR", str: "NAME"}.get(kind, "N")


def _read(flag: Flag) -> Read:
    """The function that reads a flag's value from a text, and refuses a value beyond the flag's bounds."""
    kind, said = flag.type, flag.said
    if said.get("title") in BY_TITLE:
        return BY_TITLE[said["title"]]
    if get_origin(kind) is tuple:
        item, _ = _unwrap(get_args(kind)[0])
        read: Read = {int: counts, float: numbers}.get(item, names)
        return read if said.get("min_length") else _or_none(read)
    if kind is int:
        return count if said["ge"] else natural
    if kind is float:
        return _number(said)
    read_any: Read = kind
    return read_any


def _number(said: Mapping[str, Any]) -> Read:
    if "gt" in said:
        return positive
    if "lt" in said:
        return share
    return part if "le" in said else not_negative


def _or_none(read: Read) -> Read:
    """A reader to which the text `none` stands for no values."""
    return lambda text: () if text == "none" else read(text)


def _shown(default: Any) -> str:
    """A default for people; empty where there is none."""
    if isinstance(default, tuple):
        return ",".join(map(_shown, default)) or "none"
    if default is None or default is False or default is msgspec.NODEFAULT:
        return ""
    return f"{default:g}" if isinstance(default, float) else str(default)
