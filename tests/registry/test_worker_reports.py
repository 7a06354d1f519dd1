"""What workers say: written whole, read leniently, bounded, old in time; nobody's damage hides another."""

import time
from pathlib import Path

import msgspec
import pytest

from streamrnn.errors import BundleError
from streamrnn.registry import Compared, Registry, ReportedPartition, WorkerReport
from streamrnn.registry import worker_reports as reports
from tests.backends import stand_before
from tests.registry.marked_models import make_model


def now_ms() -> int:
    return int(time.time() * 1000)


def report(worker: str = "h-1-ab", **fields: object) -> WorkerReport:
    given = {"group": "g", "topic": "ticks", "at_ms": now_ms(), "serving": "oil@7"} | fields
    return WorkerReport(worker=worker, **given)  # type: ignore[arg-type]


FULL = report(
    challenger="oil@8",
    refused={"oil@9": "feature load is not in the ticks"},
    partitions=[
        ReportedPartition(number=0, speaker="oil@7", state="hydrating", lag=120, left_s=3.5),
        ReportedPartition(number=3, speaker="oil@8"),
    ],
    comparison=[
        Compared(
            target="OT",
            horizon=1,
            truths=9,
            champion_mse=0.5,
            challenger_mse=0.4,
            difference=0.1,
            error=None,
            p=None,
        )
    ],
    share_better=0.75,
    since_ms=5,
)


def test_a_report_comes_back_as_it_was_until_it_is_removed(root: str) -> None:
    registry = Registry(root)
    assert registry.reports("oil") == ((), ())
    full = msgspec.structs.replace(FULL, at_ms=now_ms())
    registry.write_report("oil", report())
    registry.write_report("oil", full)
    registry.write_report("oil", report("h-2-cd"))
    found = registry.reports("oil")
    assert [heard.report.worker for heard in found.heard] == ["h-1-ab", "h-2-cd"]
    assert found.heard[0].report == full
    assert found.fresh == [heard.report for heard in found.heard]
    assert found.passed_over == ()
    registry.remove_report("oil", "h-1-ab")
    registry.remove_report("oil", "h-1-ab")
    assert [heard.report.worker for heard in registry.reports("oil").heard] == ["h-2-cd"]


def test_reports_are_no_versions_and_nothing_unfinished(root: str) -> None:
    registry = Registry(root)
    registry.write_report("oil", report("model"))
    assert (registry.names(), registry.versions("oil"), registry.unfinished("oil")) == ([], [], [])
    assert registry.publish(make_model()) == 1
    assert (registry.names(), registry.unfinished("oil")) == (["oil"], [])


@pytest.mark.parametrize(("ago_s", "is_fresh"), [(1, True), (59, True), (62, False), (-59, True), (-3_600, False)])
def test_a_report_that_is_old_or_of_a_clock_far_ahead_is_shown_as_not_fresh(
    root: str, ago_s: float, is_fresh: bool
) -> None:
    registry = Registry(root)
    registry.write_report("oil", report(at_ms=now_ms() - int(ago_s * 1000)))
    (heard,) = registry.reports("oil").heard
    assert heard.is_fresh == is_fresh
    assert heard.age_s == pytest.approx(ago_s, abs=2)
    assert registry.reports("oil", newest_s=10_000).fresh == [heard.report]


@pytest.mark.parametrize(
    "raw",
    [b"", b"null", b"{}", b"\xff", b"[" * 100_000, msgspec.json.encode(FULL)[:-1],
     msgspec.json.encode(FULL).replace(b"hydrating", b"dreaming"),
     msgspec.json.encode(FULL).replace(b"120", b"1e999"),
     b" " * reports.LARGEST_WORKER_REPORT_BYTES + msgspec.json.encode(FULL)],
    ids=lambda raw: repr(raw[:20]),
)  # fmt: skip
def test_a_damaged_report_is_passed_over_and_said_and_hides_no_other(root: str, raw: bytes) -> None:
    registry = Registry(root)
    for worker in ("a", "z"):
        registry.write_report("oil", report(worker))
    registry._store.write("oil/workers/h-1-ab.json", raw)
    found = registry.reports("oil")
    assert [heard.report.worker for heard in found.heard] == ["a", "z"]
    (said,) = found.passed_over
    assert "oil/workers/h-1-ab.json: " in said


def test_a_report_under_anothers_name_and_files_that_are_no_reports_are_told_apart(root: str) -> None:
    registry = Registry(root)
    registry.write_report("oil", report())
    raw = registry._store.read("oil/workers/h-1-ab.json", 10_000)
    for file in ("other.json", "notes.txt", ".draft-1.json"):
        registry._store.write(f"oil/workers/{file}", raw)
    found = registry.reports("oil")
    assert len(found.heard) == 1
    (said,) = found.passed_over
    assert said.endswith("oil/workers/other.json: holds the report of h-1-ab")


def test_a_link_out_of_the_registry_is_not_followed(tmp_path: Path) -> None:
    registry = Registry(tmp_path / "m")
    registry.write_report("oil", report())
    (tmp_path / "secret.json").write_bytes(msgspec.json.encode(report("secret")))
    (tmp_path / "m" / "oil" / "workers" / "secret.json").symlink_to(tmp_path / "secret.json")
    found = registry.reports("oil")
    assert [heard.report.worker for heard in found.heard] == ["h-1-ab"]
    assert "a link that leads out" in found.passed_over[0]


def test_fields_of_a_later_release_are_left_out(root: str) -> None:
    registry = Registry(root)
    raw = msgspec.json.decode(msgspec.json.encode(FULL)) | {"mood": "good"}
    raw["partitions"][0]["colour"] = "red"
    registry._store.write("oil/workers/h-1-ab.json", msgspec.json.encode(raw))
    assert registry.reports("oil").heard[0].report == FULL


def test_a_figure_that_is_no_number_is_read_as_none(root: str) -> None:
    registry = Registry(root)
    odd = msgspec.structs.replace(FULL.comparison[0], champion_mse=float("nan"), p=float("inf"))
    registry.write_report("oil", msgspec.structs.replace(FULL, comparison=[odd], share_better=float("nan")))
    read = registry.reports("oil").heard[0].report
    assert (read.comparison[0].champion_mse, read.comparison[0].p, read.share_better) == (None, None, None)


def test_a_reason_without_end_is_cut_where_it_is_written(root: str) -> None:
    registry, endless = Registry(root), "why " * 1_000_000
    partitions = [ReportedPartition(number=n, speaker="oil@7", state="failing", reason=endless) for n in range(3)]
    registry.write_report("oil", report(refused={"oil@9": endless}, partitions=partitions))
    found = registry.reports("oil")
    assert found.passed_over == ()
    read = found.heard[0].report
    assert len(read.refused["oil@9"]) == reports.LONGEST_REASON
    assert [each.reason for each in read.partitions] == [endless[: reports.LONGEST_REASON]] * 3


def test_no_more_than_so_many_are_read_and_that_is_said(root: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reports, "MOST_REPORTS", 2)
    registry = Registry(root)
    for n in range(5):
        registry.write_report("oil", report(f"w{n}"))
    found = registry.reports("oil")
    assert [heard.report.worker for heard in found.heard] == ["w0", "w1"]
    assert found.passed_over == ("3 more files: 2 are read",)


def test_a_worker_that_goes_while_it_is_read_is_neither_heard_nor_said() -> None:
    registry = Registry("fake://bucket/m")
    registry.write_report("oil", report())

    def remove(operation: str, path: str) -> None:
        if operation == "read":
            raise FileNotFoundError(path)

    stand_before(remove)
    assert registry.reports("oil") == ((), ())


@pytest.mark.parametrize("worker", ["", ".", "..", "../x", "a/b", ".hidden", "é", "a b", "x" * 201, "a\n"])
def test_a_workers_name_cannot_lead_out_of_the_folder(root: str, worker: str) -> None:
    registry = Registry(root)
    for act in (
        lambda: registry.write_report("oil", report(worker)),
        lambda: registry.remove_report("oil", worker),
    ):
        with pytest.raises(BundleError, match="is no worker's name"):
            act()
    with pytest.raises(BundleError, match="is no model name"):
        registry.write_report("../oil", report())
    assert registry.reports("oil") == ((), ())


def test_what_nobody_has_written_to_for_a_day_goes_whatever_it_is(
    root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = Registry(root)
    registry.write_report("oil", report())
    for file in ("damaged.json", ".draft-1"):
        registry._store.write(f"oil/workers/{file}", b"{")
    later = time.time() + 100
    monkeypatch.setattr(time, "time", lambda: later)
    assert list(registry.prune_reports("oil", 110)) == []
    assert list(registry.prune_reports("oil", 90)) == [".draft-1", "damaged.json", "h-1-ab.json"]
    assert list(registry.prune_reports("oil", 90)) == []
    assert registry.reports("oil") == ((), ())
