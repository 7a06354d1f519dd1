"""Damaged snapshots are passed over, each for its reason in plain words, and the one before is taken."""

import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamrnn.errors import Damaged
from streamrnn.snapshots import Chain, Shelf
from streamrnn.snapshots.chain import LARGEST_MANIFEST_BYTES
from streamrnn.snapshots.draft import PartBounds
from tests.backends import stand_before
from tests.snapshots.shelves import load, make_shelf, reasons, restore, write

OLD, NEW = {b"a": 1, b"b": 2}, {b"a": 3}


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return make_shelf(tmp_path)


@pytest.fixture
def old(shelf: Shelf) -> Chain:
    return write(shelf, 5, OLD)


@pytest.fixture
def new(shelf: Shelf, old: Chain) -> Chain:
    return write(shelf, 9, {b"a": 3, b"b": 4})


def file(shelf: Shelf, name: str) -> Path:
    return Path(shelf.place(3)) / name


def edit(path: Path, reseal: bool = True, **changes: object) -> None:
    """Say something else in a manifest, with the checksum that belongs to it."""
    told = json.loads(path.read_bytes())
    raw = json.dumps(told["snapshot"] | changes).encode()
    digest = hashlib.sha256(raw).hexdigest() if reseal else told["sha256"]
    path.write_bytes(b'{"sha256":"%s","snapshot":%s}' % (digest.encode(), raw))


def part(chain: Chain, **changes: object) -> dict[str, object]:
    own = chain.parts[0]
    told = {"name": own.name, "sha256": own.sha256, "bytes": own.bytes, "streams": own.streams}
    return {"parts": [told | changes]}


DAMAGES: dict[str, tuple[Callable[[Path, Path, Chain], object], str]] = {
    "empty manifest": (lambda m, p, c: m.write_bytes(b""), "half-written or unreadable"),
    "half a manifest": (lambda m, p, c: m.write_bytes(m.read_bytes()[:-9]), "half-written or unreadable"),
    "no JSON": (lambda m, p, c: m.write_bytes(b"\x80\x04pickle"), "half-written or unreadable"),
    "deep JSON": (lambda m, p, c: m.write_bytes(b"[" * 100_000), "half-written or unreadable"),
    "huge manifest": (lambda m, p, c: m.write_bytes(b" " * (2**24 + 1)), "16777217 bytes, at most"),
    "changed manifest": (lambda m, p, c: edit(m, reseal=False, since=1), "its checksum is not that of what"),
    "later format": (lambda m, p, c: edit(m, format=2, more=[]), "format 2, this version reads 1"),
    "other partition": (lambda m, p, c: edit(m, partition=4), "of partition 4"),
    "other model": (lambda m, p, c: edit(m, fingerprint="0123456789abcdef" * 3 + "f" * 16), "of another model"),
    "other columns": (lambda m, p, c: edit(m, columns="a|b"), "of rows with other columns"),
    "other since": (lambda m, p, c: edit(m, since=2), "of the ticks since 2, not 0"),
    "other offset": (lambda m, p, c: edit(m, offset=8), "says offset 8"),
    "larger base": (lambda m, p, c: edit(m, base=3), "base 3"),
    "unknown field": (lambda m, p, c: edit(m, more=1), "half-written or unreadable"),
    "name outside": (lambda m, p, c: edit(m, **part(c, name=f"../{p.name}")), "half-written or unreadable"),
    "absolute name": (lambda m, p, c: edit(m, **part(c, name=f"/{p.name}")), "half-written or unreadable"),
    "name with a line end": (lambda m, p, c: edit(m, **part(c, name=f"{p.name}\n")), "half-written or unreadable"),
    "part of 2 GiB": (lambda m, p, c: edit(m, **part(c, bytes=2**31)), "half-written or unreadable"),
    "part of the future": (
        lambda m, p, c: edit(m, **part(c, name="9" * 19 + p.name[19:])), "half-written or unreadable"),
    "missing part": (lambda m, p, c: p.unlink(), "its part .*-0000.safetensors is missing"),
    "truncated part": (lambda m, p, c: p.write_bytes(p.read_bytes()[:-1]), r"is truncated: \d+ bytes of \d+"),
    "longer part": (lambda m, p, c: p.write_bytes(p.read_bytes() + b"0"), r"is truncated: \d+ bytes of \d+"),
    "corrupt part": (
        lambda m, p, c: p.write_bytes(p.read_bytes()[:-1] + b"\xff"), "its checksum is not the one in"),
    "fewer streams": (lambda m, p, c: edit(m, **part(c, streams=1)), "2 streams, the manifest says 1"),
    "no rows": (
        lambda m, p, c: (p.write_bytes(bytes(c.parts[0].bytes)),
                         edit(m, **part(c, sha256=hashlib.sha256(bytes(c.parts[0].bytes)).hexdigest()))),
        "its header claims 0 bytes"),
    "a link": (lambda m, p, c: (p.rename(p.parent.parent / "x"), p.symlink_to(p.parent.parent / "x")),
               "a link that leads out"),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_damaged_is_passed_over_for_its_reason(damage: str, shelf: Shelf, old: Chain, new: Chain) -> None:
    spoil, said = DAMAGES[damage]
    spoil(file(shelf, new.name), file(shelf, new.parts[0].name), new)
    for _ in range(2):
        assert restore(shelf, 20, since=0) == (old, OLD)
    (passed,) = shelf.find(3, 20, since=0).passed_over
    assert passed.name == new.name
    assert re.search(said, passed.reason)


def test_what_is_newer_than_the_committed_offset_is_passed_over_and_stays(
    shelf: Shelf, old: Chain, new: Chain
) -> None:
    assert restore(shelf, 8) == (old, OLD)
    assert reasons(shelf, 8) == ["newer than the committed offset 8"]
    assert restore(shelf, 9)[0] == new
    assert reasons(shelf, 9) == []


def test_without_a_given_beginning_any_is_taken(shelf: Shelf, old: Chain) -> None:
    warmed = write(shelf, 7, NEW, since=6)
    assert restore(shelf, 9) == (warmed, NEW)
    assert restore(shelf, 9, since=6) == (warmed, NEW)
    assert restore(shelf, 9, since=0) == (old, OLD)
    assert restore(shelf, 9, since=1) == (None, {})


def test_a_folder_with_the_name_of_a_manifest_is_none(shelf: Shelf, old: Chain, new: Chain) -> None:
    file(shelf, new.name).unlink()
    file(shelf, new.name).mkdir()
    assert restore(shelf, 20) == (old, OLD)


def test_nothing_there_is_nothing_found(root: str) -> None:
    assert make_shelf(root).find(3, 9) == (None, [])
    assert make_shelf(root).prune(3, 9) == 0


def test_other_models_and_partitions_are_not_seen(shelf: Shelf, old: Chain, tmp_path: Path) -> None:
    for other in (make_shelf(tmp_path, fingerprint="f" * 64), make_shelf(tmp_path, label="oil@8")):
        assert other.find(3, 9) == (None, [])
    assert shelf.find(4, 9) == (None, [])


def test_a_part_that_two_snapshots_share_spoils_both(shelf: Shelf, old: Chain) -> None:
    full = write(shelf, 6, OLD)
    chain = write(shelf, 7, NEW, full)
    path = file(shelf, full.parts[0].name)
    path.write_bytes(path.read_bytes()[:-1] + b"\xff")
    assert restore(shelf, 9) == (old, OLD)
    assert [passed.name for passed in shelf.find(3, 9).passed_over] == [chain.name, full.name]


def test_damage_in_a_later_part_is_an_error_after_the_parts_before_it(shelf: Shelf, old: Chain) -> None:
    chain = write(shelf, 7, NEW, old)
    path = file(shelf, chain.parts[1].name)
    path.write_bytes(path.read_bytes()[:-1] + b"\xff")
    rows = shelf.load(chain)
    assert next(rows).streams == [b"a", b"b"]
    with pytest.raises(Damaged, match=f"{path}: its checksum"):
        next(rows)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.integers(0, 2000), bit=st.integers(0, 7), cut=st.booleans(), is_manifest=st.booleans())
def test_any_changed_bit_and_any_cut_is_noticed(
    at: int, bit: int, cut: bool, is_manifest: bool, tmp_path: Path
) -> None:
    shelf = make_shelf(tmp_path)
    chain = shelf.find(3, 9).chain or write(shelf, 9, OLD)
    path = file(shelf, chain.name if is_manifest else chain.parts[0].name)
    whole = path.read_bytes()
    at %= len(whole)
    changed = bytes([whole[at] ^ 1 << bit])
    path.write_bytes(whole[:at] if cut else whole[:at] + changed + whole[at + 1 :])
    try:
        assert restore(make_shelf(tmp_path), 9) == (None, {})
    finally:
        path.write_bytes(whole)
    assert load(shelf, chain) == OLD


def test_a_store_that_is_away_is_no_damage(memory: None) -> None:
    """Else a moment's outage would throw state away."""
    shelf = make_shelf("fake://m")
    chain = write(shelf, 5, OLD)
    for away in ("list", "read"):

        def refuse(operation: str, path: str, away: str = away) -> None:
            if operation == away:
                raise TimeoutError("the store is away")

        stand_before(refuse)
        with pytest.raises(OSError, match="the store is away") as caught:
            shelf.find(3, 9)
        assert caught.value.filename.startswith(f"{shelf.place(3)}")
        with pytest.raises(OSError, match="the store is away"):
            shelf.prune(3, 9)
    with pytest.raises(OSError, match="the store is away"):
        list(shelf.load(chain))
    stand_before(lambda operation, path: None)
    assert restore(shelf, 9) == (chain, OLD)


def test_a_manifest_that_would_be_too_large_to_read_is_not_written(tmp_path: Path) -> None:
    assert PartBounds().manifest_bytes == LARGEST_MANIFEST_BYTES == 16 * 2**20
    shelf = make_shelf(tmp_path, bounds=PartBounds(manifest_bytes=100))
    with pytest.raises(Damaged, match="1 parts are more than a manifest holds"):
        write(shelf, 1, OLD)
    assert list(Path(shelf.place(3)).iterdir()) == []
