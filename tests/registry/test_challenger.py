"""The challenger: staged beside the champion, taken away, promoted; and what is not trusted of its pointer."""

import json
import time
from collections.abc import Iterator

import pytest

from streamrnn.errors import BundleError
from streamrnn.registry import Registry, Staged, Wanted
from streamrnn.registry.pointers import CHALLENGER, CHAMPION
from tests.backends import full_at, stand_before
from tests.registry.marked_models import make_model


@pytest.fixture
def registry(root: str) -> Registry:
    """Four versions, the second the champion after the first."""
    registry = Registry(root)
    for n in range(4):
        registry.publish(make_model(n))
    registry.set_champion("oil", 1)
    registry.set_champion("oil", 2)
    return registry


def test_a_staged_version_runs_beside_the_champion_until_it_is_unstaged(registry: Registry, root: str) -> None:
    assert registry.challenger("oil") is None
    begun_ms = time.time() * 1000 - 1
    assert registry.stage("oil", 3) is None
    staged = Registry(root).challenger("oil")
    assert staged is not None
    assert staged.version == 3
    assert begun_ms <= staged.staged_ms <= time.time() * 1000
    assert registry.stage("oil", 4) == 3
    assert registry.champion("oil") == 2
    registry.unstage("oil")
    registry.unstage("oil")
    assert registry.challenger("oil") is None


def test_a_version_staged_again_keeps_the_time_it_was_staged_at(registry: Registry) -> None:
    registry._store.write(f"oil/{CHALLENGER}", b'{"version":3,"staged_ms":7}')
    assert registry.stage("oil", 3) == 3
    assert registry.challenger("oil") == Staged(3, 7)


def test_promoting_the_challenger_ends_its_challenge_and_promoting_another_does_not(registry: Registry) -> None:
    registry.stage("oil", 3)
    registry.set_champion("oil", 4)
    assert registry.challenger("oil") is not None
    registry.set_champion("oil", 3)
    assert (registry.champion("oil"), registry.challenger("oil")) == (3, None)


def test_a_rollback_to_the_challenger_ends_its_challenge_too(registry: Registry) -> None:
    registry.stage("oil", 1)
    assert registry.rollback("oil") == 1
    assert registry.challenger("oil") is None


def test_the_champion_is_there_before_the_challenger_goes() -> None:
    registry, order = Registry("fake://bucket/m"), []
    for n in range(2):
        registry.publish(make_model(n))
    registry.set_champion("oil", 1)
    registry.stage("oil", 2)
    stand_before(lambda operation, path: order.append((operation, path.rpartition("/")[2])))
    registry.set_champion("oil", 2)
    changes = [each for each in order if each[0] in ("write", "delete")]
    assert changes == [("write", CHAMPION), ("delete", CHALLENGER)]


def test_a_promotion_that_ended_half_way_is_mended_by_the_next_one(registry: Registry) -> None:
    registry.stage("oil", 3)
    registry._store.write(f"oil/{CHAMPION}", b'{"version":3,"history":[1,2]}')
    assert registry.set_champion("oil", 3) == 3
    assert registry.challenger("oil") is None
    assert registry.rollback("oil") == 2


def test_what_cannot_challenge_is_refused_and_the_challenger_stands(registry: Registry) -> None:
    registry.stage("oil", 3)
    with pytest.raises(BundleError, match=r"oil has no version 9; there are \[1, 2, 3, 4\]"):
        registry.stage("oil", 9)
    with pytest.raises(BundleError, match="oil@2 is the champion: it serves already"):
        registry.stage("oil", 2)
    registry.publish(make_model(name="gas"))
    with pytest.raises(BundleError, match=r"gas/champion\.json: No such file"):
        registry.stage("gas", 1)
    for act in (registry.challenger, registry.unstage, lambda name: registry.stage(name, 1)):
        with pytest.raises(BundleError, match="is no model name"):
            act("../oil")
    staged = registry.challenger("oil")
    assert staged is not None
    assert staged.version == 3


@pytest.mark.parametrize(
    "raw",
    [b"", b"null", b"{}", b'{"version":3}', b'{"version":0,"staged_ms":1}', b'{"version":3,"staged_ms":-1}',
     b'{"version":3,"staged_ms":1,"code":1}', b"\xff", b"[" * 900, b"x" * 2000],
    ids=lambda raw: repr(raw[:30]),
)  # fmt: skip
def test_a_damaged_pointer_is_named_with_what_mends_it_and_both_ways_mend(registry: Registry, raw: bytes) -> None:
    registry._store.write(f"oil/{CHALLENGER}", raw)
    with pytest.raises(BundleError, match=rf"oil/{CHALLENGER}.*models stage oil@VERSION, or unstage oil"):
        registry.challenger("oil")
    assert registry.stage("oil", 3) is None
    registry._store.write(f"oil/{CHALLENGER}", raw)
    registry.unstage("oil")
    assert registry.challenger("oil") is None
    registry._store.write(f"oil/{CHALLENGER}", raw)
    assert registry.set_champion("oil", 3) == 2
    assert registry.challenger("oil") is None
    registry._store.write(f"oil/{CHALLENGER}", raw)
    assert registry.publish(make_model()) == 5


def test_a_pointer_that_could_not_be_written_leaves_the_old_one() -> None:
    registry = Registry("fake://bucket/m")
    for n in range(3):
        registry.publish(make_model(n))
    registry.set_champion("oil", 1)
    registry.stage("oil", 2)
    full_at(1)
    with pytest.raises(BundleError, match=f"{CHALLENGER}: No space left on device"):
        registry.stage("oil", 3)
    staged = registry.challenger("oil")
    assert staged is not None
    assert staged.version == 2


def test_the_number_of_a_challenger_that_was_deleted_is_never_given_again(registry: Registry) -> None:
    registry.stage("oil", 4)
    registry.delete("oil", 4)
    assert registry.publish(make_model()) == 5


def test_what_is_wanted_is_the_champion_and_another_beside_it(registry: Registry) -> None:
    assert registry.wanted("oil") == Wanted(2)
    registry.stage("oil", 3)
    assert registry.wanted("oil") == Wanted(2, 3)
    registry._store.write(f"oil/{CHAMPION}", b'{"version":3}')
    assert registry.wanted("oil") == Wanted(3)
    for file in (CHALLENGER, CHAMPION):
        registry._store.write(f"oil/{file}", b"{")
        with pytest.raises(BundleError, match=rf"oil/{file}: not a"):
            registry.wanted("oil")
        registry.unstage("oil")


def test_a_promotion_between_two_reads_never_hides_the_version() -> None:
    """Whichever read it comes before."""
    registry = Registry("fake://bucket/m")
    for n in range(2):
        registry.publish(make_model(n))
    seen = set()
    for promoted_before in range(4):
        registry.set_champion("oil", 1)
        registry.stage("oil", 2)
        reads = iter(range(10))

        def promote(operation: str, path: str, at: int = promoted_before, reads: Iterator[int] = reads) -> None:
            if operation == "read" and next(reads) == at:
                stand_before(lambda operation, path: None)
                Registry("fake://bucket/m").set_champion("oil", 2)

        stand_before(promote)
        seen.add(registry.wanted("oil"))
        stand_before(lambda operation, path: None)
    assert seen == {Wanted(1, 2), Wanted(2)}


def test_a_challenger_pointer_is_plain_json(registry: Registry) -> None:
    registry.stage("oil", 3)
    said = json.loads(registry._store.read(f"oil/{CHALLENGER}", 1000))
    assert said.keys() == {"version", "staged_ms"}
