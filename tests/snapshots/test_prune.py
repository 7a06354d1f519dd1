"""A prune takes what nobody needs, and nothing else."""

import os
from pathlib import Path

import pytest

from streamrnn.snapshots import Chain, drawer
from tests.snapshots.shelves import fill, restore, small_shelf, write

pytestmark = pytest.mark.usefixtures("memory")

OLD = {b"%d" % n: n for n in range(4)}


def test_a_prune_keeps_so_many_below_all_above_and_their_parts_alone() -> None:
    shelf = small_shelf("memory://m", keep=2)
    chain: Chain | None = None
    for offset in (1, 2, 3, 4, 5, 6):
        chain = write(shelf, offset, {b"%d" % offset: offset}, chain if offset % 3 else None)
    assert shelf.prune(3, 1) == 0
    assert shelf.prune(3, 4) == 2 + 2
    assert [restore(shelf, offset)[1] for offset in range(1, 7)] == [
        {},
        {},
        {b"3": 3},
        {b"3": 3, b"4": 4},
        {b"3": 3, b"4": 4, b"5": 5},
        {b"6": 6},
    ]
    assert shelf.prune(3, 4) == 0


def test_a_damaged_snapshot_does_not_count_among_those_kept(tmp_path: Path) -> None:
    shelf = small_shelf(tmp_path)
    chains = [write(shelf, offset, OLD) for offset in range(1, 6)]
    folder = Path(shelf.place(3))
    (folder / chains[4].name).write_bytes(b"{")
    (folder / chains[3].parts[0].name).unlink()
    spoilt = folder / chains[2].parts[0].name
    spoilt.write_bytes(spoilt.read_bytes()[:-1] + b"\xff")
    assert restore(shelf, 9) == (chains[1], OLD)
    shelf.prune(3, 9)
    assert [restore(shelf, offset)[0] for offset in (1, 2)] == chains[:2]


def test_beside_a_manifest_that_it_cannot_read_a_prune_removes_no_parts(tmp_path: Path) -> None:
    """One of a later version, or one just being written, may name any."""
    shelf = small_shelf(tmp_path)
    chains = [write(shelf, offset, OLD) for offset in (1, 2, 3)]
    (Path(shelf.place(3)) / f"{4:020d}-00000000.json").write_bytes(b'{"form')
    assert shelf.prune(3, 9) == 1
    assert all((Path(shelf.place(3)) / part.name).exists() for chain in chains for part in chain.parts)


def test_what_a_dead_writer_left_goes_once_it_is_old_and_below_what_is_kept(tmp_path: Path) -> None:
    shelf = small_shelf(tmp_path)
    folder = Path(shelf.place(3))
    fill(shelf.draft(3, 0, 1), OLD)
    for offset in (2, 3):
        write(shelf, offset, OLD)
    for name, age_s in ((".draft-old", 2 * drawer.STALE_S), (".draft-young", 0.0)):
        (folder / name).touch()
        os.utime(folder / name, (now := (folder / name).stat().st_mtime - age_s, now))
    fill(shelf.draft(3, 0, 3), OLD)
    before = len(list(folder.iterdir()))
    assert shelf.prune(3, 9) == 1 + 1  # the part at 1 and the old draft
    names = {path.name for path in folder.iterdir()}
    assert len(names) == before - 2
    assert ".draft-young" in names
    assert not [name for name in names if name.startswith(f"{1:020d}")]


def test_a_prune_touches_no_file_that_is_not_its_own(tmp_path: Path) -> None:
    shelf = small_shelf(tmp_path)
    for offset in range(1, 5):
        write(shelf, offset, OLD)
    strange = ["notes.txt", f"{1:020d}.json", f"{1:020d}-0000000g.json", f"{1:020d}-00000000-0000.safetensors.bak"]
    for name in strange:
        (Path(shelf.place(3)) / name).touch()
    write(small_shelf(tmp_path, label="oil@8"), 1, OLD)
    shelf.prune(3, 9)
    assert {path.name for path in Path(shelf.place(3)).iterdir()} >= set(strange)
    assert restore(small_shelf(tmp_path, label="oil@8"), 1)[1] == OLD
