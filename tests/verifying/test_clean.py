"""What was served without a fault verifies clean, however it came about and wherever the logs begin and end."""

import json
from pathlib import Path

import msgspec
import numpy as np
import pytest

from streamrnn.codecs import make_decoder
from streamrnn.config import Settings
from streamrnn.engine.making import make_engine
from streamrnn.errors import ConfigError, DataError, TopicError
from streamrnn.kafka.marks import Mark
from streamrnn.provenance.fingerprint import fingerprint
from streamrnn.snapshots import Shelf
from streamrnn.ticks import Record

from .synthetic import DEAD, INPUT, MODEL, OUTPUT, World, make_model, ticks_of, world

ACCEPTED = sum(n % 11 != 10 for n in range(60))


@pytest.mark.parametrize("guarantee", ["at_least_once", "exactly_once"])
@pytest.mark.parametrize("codec", ["json", "msgpack", "float32"])
async def test_topics_without_a_fault_are_clean_and_every_prediction_is_counted(guarantee: str, codec: str) -> None:
    report = await world(60, 2, guarantee, codec).verify()
    assert report.is_clean
    assert report.counts == {}
    assert [p.checked for p in report.partitions] == [ACCEPTED] * 2
    assert [p.letters for p in report.partitions] == [60 - ACCEPTED] * 2
    assert report.total("ticks") == report.total("records") == 120
    assert report.total("ahead") == report.total("not_recomputed") == 0
    assert all(p.notes == () for p in report.partitions)


async def test_only_the_partitions_asked_for_are_verified() -> None:
    made = world(30, 3)
    made.logs[OUTPUT, 1].pop()
    assert [p.partition for p in (await made.verify(partitions=(2, 0))).partitions] == [0, 2]
    assert (await made.verify(partitions=(2, 0))).is_clean
    assert not (await made.verify()).is_clean
    with pytest.raises(DataError, match="has no partition 3"):
        await made.verify(partitions=(3,))


async def test_where_a_state_came_from_is_not_part_of_a_prediction() -> None:
    made = world()
    log = made.logs[OUTPUT, 0]
    log[:] = [r._replace(value=r.value.replace(b'"carried"', b'"restored"')) for r in log]
    assert any(b"restored" in r.value for r in log)
    assert (await made.verify()).is_clean


def widened(text: str) -> float:
    """A number as the versions before wrote those that no few digits named: the float32 as a float64."""
    return float(np.float32(text))


async def test_predictions_whose_numbers_an_earlier_version_wrote_otherwise_are_clean() -> None:
    made = world()
    log = made.logs[OUTPUT, 0]
    earlier = [msgspec.json.encode(json.loads(r.value or b"", parse_float=widened)) for r in log]
    assert sum(len(text) > len(r.value or b"") for text, r in zip(earlier, log, strict=True)) > len(log) // 2
    log[:] = [r._replace(value=value) for r, value in zip(log, earlier, strict=True)]
    assert (await made.verify()).is_clean
    log[9] = log[9]._replace(value=earlier[9].replace(b"1", b"2", 1))
    assert not (await made.verify()).is_clean


async def test_offsets_that_hold_no_record_are_no_ticks() -> None:
    made = World(world().settings)
    made.produce(ticks_of(0, 40, step=3))
    made.serve(0, 0, 119)
    assert (await made.verify()).is_clean


async def test_predictions_after_a_warm_up_are_recomputed_from_where_its_state_begins() -> None:
    made = World(world().settings)
    made.produce(ticks_of(0, 60))
    made.serve(0, 0, 30)
    made.serve(0, 30, 60, since=12)
    report = await made.verify()
    assert report.is_clean
    accepted = sum(n % 11 != 10 for n in range(30, 60))
    [one] = report.partitions
    assert (one.since, one.served_from, one.committed) == (12, 30, 60)
    assert (one.checked, one.not_recomputed) == (accepted, ACCEPTED - accepted)
    assert any("below 30" in note for note in one.notes)
    made.commit(0, 60, 0, 0)  # a pedigree that is not true
    assert (await made.verify()).faults.keys() == {"differing"}


async def test_predictions_of_the_model_before_are_looked_for_and_not_recomputed() -> None:
    made = World(world().settings)
    made.produce(ticks_of(0, 60))
    made.serve(0, 0, 40)
    made.model = make_model(seed=2, version=2)
    made.serve(0, 40, 60, since=20)
    assert (await made.verify()).is_clean
    made.logs[OUTPUT, 0].pop(10)
    assert (await made.verify()).faults == {"missing": 1}


async def test_the_first_start_of_a_group_may_lie_anywhere() -> None:
    made = World(world().settings)
    made.produce(ticks_of(0, 60))
    made.serve(0, 25, 60)
    assert (await made.verify()).is_clean


async def test_at_least_once_what_is_not_committed_yet_is_checked_and_counted_apart() -> None:
    made = world()
    made.commit(0, 40, 0, 0)
    report = await made.verify()
    assert report.is_clean
    assert report.total("ahead") == 20
    assert report.total("checked") == ACCEPTED
    made.logs[OUTPUT, 0].pop()  # not committed: it need not be there
    assert (await made.verify()).is_clean


async def test_exactly_once_nothing_is_seen_before_its_commit() -> None:
    made = world(guarantee="exactly_once")
    made.commit(0, 40, 0, 0)
    report = await made.verify()
    assert report.faults == {"ahead": 20}
    assert (await made.verify(guarantee="at_least_once")).is_clean


async def test_a_service_that_commits_meanwhile_is_not_blamed() -> None:
    made = world(guarantee="exactly_once")
    last, early = made.committed[0], Mark(40, made.committed[0].metadata)
    answers = [early, early, last]  # before all, before the outputs are read, after that

    class Running(World):
        async def marks(self, partitions):
            return {0: answers.pop(0)}

    running = Running(made.settings, made.model, made.logs)
    assert (await running.verify()).is_clean
    assert answers == []


async def test_a_tick_whose_prediction_the_broker_refused_is_stepped_and_needs_no_prediction() -> None:
    made = world()
    log = made.logs[OUTPUT, 0]
    at = next(n for n, r in enumerate(log) if dict(r.headers)["src-offset"] == b"20")
    log.pop(at)
    assert (await made.verify()).faults == {"missing": 1}
    made.refuse(0, 20)
    report = await made.verify()
    assert report.is_clean
    assert report.total("broker_refused") == 1


async def test_a_dead_letter_may_have_lost_its_value_to_its_size() -> None:
    made = world()
    log = made.logs[DEAD, 0]
    log[:] = [record._replace(value=None) for record in log]
    log[0] = log[0]._replace(key=None)
    assert (await made.verify()).is_clean


async def test_dead_letters_of_another_topic_are_passed_over() -> None:
    made = world()
    of_others = made.logs[DEAD, 0][0]
    headers = [(k, b"others" if k.endswith(".topic") else v) for k, v in of_others.headers]
    made.logs[DEAD, 0].append(of_others._replace(headers=headers, offset=99))
    report = await made.verify()
    assert report.is_clean
    assert any("other topics" in note for note in report.partitions[0].notes)


async def test_without_a_pedigree_the_state_begins_with_the_log_or_where_it_is_said_to() -> None:
    made = world()
    made.committed[0] = Mark(60, "")
    report = await made.verify()
    assert report.is_clean
    assert any("no pedigree" in note for note in report.partitions[0].notes)
    made.serve(0, 25, 60)  # into the same log, from another beginning
    made.logs[OUTPUT, 0] = [r for r in made.logs[OUTPUT, 0] if r.offset >= ACCEPTED]
    made.logs[DEAD, 0] = made.logs[DEAD, 0][5:]
    made.committed[0] = Mark(60, "of somebody else")
    assert not (await made.verify()).is_clean
    assert (await made.verify(since=25)).is_clean


async def test_a_group_that_never_committed_has_everything_ahead() -> None:
    made = world()
    made.committed[0] = None
    report = await made.verify()
    assert report.is_clean
    assert report.total("ahead") == 60


@pytest.mark.parametrize("topic", [OUTPUT, DEAD])
async def test_what_retention_took_from_the_outputs_is_not_asked_for(topic: str) -> None:
    made = world()
    log = made.logs[topic, 0]
    del log[:3]
    assert not (await made.verify()).is_clean
    made.starts[topic, 0] = 3
    report = await made.verify()
    assert report.is_clean
    assert any("begins at 3" in note for note in report.partitions[0].notes)
    del log[:]
    assert (await made.verify()).is_clean


async def test_a_state_whose_first_ticks_are_gone_is_not_recomputed_and_not_clean() -> None:
    made = world()
    made.starts[INPUT, 0] = 5
    del made.logs[INPUT, 0][:5]
    report = await made.verify()
    assert not report.is_clean
    assert report.faults == {}
    assert "begins at 5" in report.partitions[0].unchecked
    made.logs[OUTPUT, 0].pop()
    assert (await made.verify()).faults == {"missing": 1}


async def test_a_committed_offset_beyond_the_input_is_said() -> None:
    made = world()
    made.commit(0, 600, 0, 0)
    report = await made.verify()
    assert not report.is_clean
    assert "another topic" in report.partitions[0].unchecked


async def test_a_model_that_did_not_serve_is_refused_by_name() -> None:
    made = world()
    made.model = make_model(seed=2, version=2)
    with pytest.raises(ConfigError, match=r"served by toy@1 .* given is toy@2 .*model\.version"):
        await made.verify()
    made.model = make_model(seed=2)
    with pytest.raises(ConfigError, match="the weights, or settings"):
        await made.verify()
    assert made.model.spec.label == MODEL.spec.label


@pytest.mark.parametrize(
    ("count", "said"),
    [
        (0, "predictions does not exist"),
        (3, "has 2 partitions and topic predictions has 3: an answer stands in the partition of its tick"),
    ],
)
async def test_topics_that_do_not_match_are_refused(count: int, said: str) -> None:
    made = world()

    class Odd(World):
        async def partitions(self, topic):
            return {INPUT: 2, OUTPUT: count, DEAD: 2}[topic]

    with pytest.raises(TopicError, match=said):
        await Odd(made.settings, made.model, made.logs).verify()


ORDERED = {"duplicates": "drop", "out_of_order": "dead-letter", "late": "drop", "late_after_s": 20.0}


def out_of_order(made: World) -> World:
    """The same ticks, some of them again, some after their time, some long after."""
    other, now = World(made.settings), 1_700_000_000_000
    times = (0, 1, 1, 3, 2, 4, 40, 5, 41, 39, 41, 42)
    values = [b'{"time": %d, "x": %d, "y": 1}' % (now + 1000 * time, n) for n, time in enumerate(times)]
    other.produce([Record(0, n, now, b"s", value) for n, value in enumerate(values)])
    other.serve(0, 0, len(values))
    return other


async def test_ticks_out_of_order_leave_a_dead_letter_or_nothing_as_the_policies_say() -> None:
    made = out_of_order(world(input={"topic": INPUT} | ORDERED))
    report = await made.verify()
    assert report.is_clean
    letters = [dict(r.headers)["__streamrnn.errors.code"] for r in made.logs[DEAD, 0]]
    assert letters == [b"out_of_order"] * 2
    assert (report.total("checked"), report.total("letters"), report.total("records")) == (7, 2, 12)
    letter = made.logs[DEAD, 0][0]
    headers = [(k, b"7" if k.endswith(".offset") else v) for k, v in letter.headers]
    made.logs[DEAD, 0].append(letter._replace(headers=headers, offset=9))  # 7 is late: it leaves nothing
    assert (await made.verify()).faults == {"letter_unexpected": 1}
    del made.logs[DEAD, 0][1:]
    assert (await made.verify()).faults == {"letter_missing": 1}


def keep(made: World, *offsets: int) -> None:
    """Full snapshots of the state that the input makes, at these offsets."""
    engine, decoder = make_engine(made.model, made.settings), make_decoder(made.model.spec, made.settings)
    shelf = Shelf(
        made.settings.snapshots.url,
        made.settings.kafka.group,
        INPUT,
        made.model.spec.label,
        fingerprint(made.model, made.settings),
        engine.layout.text(),
        "cpu",
    )
    begin = 0
    for offset in offsets:
        records = [r for r in made.logs[INPUT, 0] if begin <= r.offset < offset]
        engine.step(decoder.decode(records)[0], warm=True)
        draft = shelf.draft(0, 0, offset)
        draft.add(engine.capture(0, full=True).take(1000))
        draft.finish()
        begin = offset


def damage(folder: Path, names: str) -> None:
    [part] = folder.rglob(names)
    part.write_bytes(part.read_bytes()[:-1] + b"x")


async def test_where_the_first_ticks_are_gone_it_goes_on_from_the_oldest_snapshot_that_the_input_reaches(
    tmp_path: Path,
) -> None:
    made = world(snapshots={"url": str(tmp_path)})
    keep(made, 10, 30, 50)
    made.starts[INPUT, 0] = 20
    del made.logs[INPUT, 0][:20]
    report = await made.verify()
    assert report.is_clean
    assert report.total("checked") == sum(n % 11 != 10 for n in range(30, 60))
    assert report.total("not_recomputed") == sum(n % 11 != 10 for n in range(20, 30))
    assert any("snapshot at 30" in note for note in report.partitions[0].notes)
    damage(tmp_path, "*30-*.safetensors")
    report = await made.verify()
    assert report.is_clean
    assert any("snapshot at 50" in note for note in report.partitions[0].notes)
    log = made.logs[OUTPUT, 0]
    log[:] = [r for r in log if dict(r.headers)["src-offset"] not in (b"25", b"55")]
    assert (await made.verify()).faults == {"missing": 2}
    made.starts[INPUT, 0] = 51
    del made.logs[INPUT, 0][:31]
    assert "no snapshot" in (await made.verify()).partitions[0].unchecked


@pytest.mark.parametrize("codec", ["json", "msgpack"])
async def test_streams_whose_keys_are_numbers_are_clean_and_are_named_as_shown(codec: str) -> None:
    made = World(
        Settings(
            input={"topic": INPUT, "key": "int64"},
            output={"topic": OUTPUT, "codec": codec},
            engine={"device": "cpu"},
        )
    )
    keys = [number.to_bytes(8, "big") for number in (17, 200, 384)]
    made.produce([r._replace(key=keys[n % 3]) for n, r in enumerate(ticks_of(0, 60))])
    made.serve(0, 0, 60)
    assert (await made.verify()).is_clean
    lost = made.logs[OUTPUT, 0].pop(1)
    assert lost.key == keys[1]
    assert [f.stream for f in (await made.verify()).partitions[0].examples] == ["200"]
