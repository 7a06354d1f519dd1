"""What an operator reads: every count, the examples, what was not checked, and the verdict; never obeyed."""

import argparse
import io
import json

import pytest
from rich.console import Console

from streamrnn.cli import build_parser
from streamrnn.commands.verifying import add_arguments
from streamrnn.verifying.report import KINDS, Fault, PartitionReport, VerifyReport
from streamrnn.verifying.summary import print_report, progress

FAULT = Fault("differing", 1, 1200, 900, "s\x1b[31m", "state.steps 12", "state.steps 11")


def shown(report: VerifyReport) -> str:
    console = Console(file=io.StringIO(), width=200)
    print_report(report, console)
    return console.file.getvalue()


def report(*partitions: PartitionReport, strict: bool = False) -> VerifyReport:
    return VerifyReport("oil@7", "at_least_once", strict, 2.0, partitions)


def test_a_clean_report_says_so_with_its_numbers() -> None:
    said = shown(report(PartitionReport(0, 0, 0, 5000, 5000, 5000, 4990, letters=10, notes=("a note",))))
    assert "partition 0: a note" in said
    assert "clean: 4,990 predictions are as recomputed (oil@7, at_least_once; 5,000 ticks in 2.0 s" in said


def test_faults_are_counted_over_partitions_and_examples_name_their_places() -> None:
    one = PartitionReport(0, counts={"doubled": 2, "differing": 1})
    other = PartitionReport(1, counts={"differing": 3}, examples=(FAULT,), unchecked="the input begins at 9")
    said = shown(report(one, other))
    assert "predictions differing: 4\n" in said
    assert "predictions doubled: 2 (no fault: at least once)" in said
    place = "partition 1, source offset 1200, found at offset 900, stream s\\x1b[31m"
    assert f"  {place}: expected state.steps 12; found state.steps 11" in said
    assert "partition 1: NOT RECOMPUTED: the input begins at 9" in said
    assert "NOT CLEAN: 4 faults; not recomputed: partition 1" in said
    assert "\x1b[31m" not in said
    assert "NOT CLEAN: 6 faults" in shown(report(one, other, strict=True))


def test_the_report_as_json_holds_what_is_shown() -> None:
    made = report(PartitionReport(1, counts={"differing": 3}, examples=(FAULT,)))
    told = json.loads(json.dumps(made.as_json()))
    assert (told["is_clean"], told["counts"], told["faults"]) == (False, {"differing": 3}, {"differing": 3})
    assert told["partitions"][0]["examples"][0]["output_offset"] == 900


def test_doubled_records_are_no_fault_unless_they_are_taken_strictly() -> None:
    for kind in KINDS:
        lenient, strict = (report(PartitionReport(0, counts={kind: 1}), strict=s) for s in (False, True))
        assert lenient.is_clean == (kind in ("doubled", "letter_doubled"))
        assert not strict.is_clean
    assert not report(PartitionReport(0, unchecked="why")).is_clean


def test_no_progress_is_said_at_once_in_a_pipe() -> None:
    console = Console(file=io.StringIO())
    with progress(console):
        pass
    assert console.file.getvalue() == ""


def test_the_options_are_read_and_wrong_ones_refused(capsys: pytest.CaptureFixture[str]) -> None:
    args = build_parser().parse_args(["verify", "--partition", "3", "--partition", "0", "--since", "7", "--strict"])
    assert (args.partition, args.since, args.strict, args.limit, args.guarantee) == ([3, 0], 7, True, 10, None)
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    for wrong in ("-1", "x", "1.5", "9" * 30):
        with pytest.raises(SystemExit):
            parser.parse_args([f"--since={wrong}"])
        assert "is no whole number from 0 on" in capsys.readouterr().err
