"""How many workers 0 means, and how many threads each has."""

import os
from pathlib import Path

import pytest

from streamrnn.supervising.cores import THREADS, cores, threads_for, worker_count

HERE = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@pytest.mark.parametrize(
    ("quota", "least"),
    [("max 100000", HERE), ("100000 100000", 1), ("10000 100000", 1), ("9900000000 100000", HERE), ("odd", HERE)],
)
def test_a_container_has_the_cores_of_its_quota_rounded_up(quota: str, least: int, tmp_path: Path) -> None:
    (tmp_path / "cpu.max").write_text(quota + "\n")
    assert cores(tmp_path / "cpu.max") == least


def test_without_a_quota_it_is_the_cores_that_the_process_may_use(tmp_path: Path) -> None:
    assert cores(tmp_path / "none") == HERE


def test_zero_means_one_for_each_core() -> None:
    assert (worker_count(0), worker_count(1), worker_count(7)) == (cores(), 1, 7)


def test_threads_are_shared_out_but_where_the_operator_has_chosen() -> None:
    assert threads_for(3, 8, {}) == dict.fromkeys(THREADS, "2")
    assert threads_for(20, 8, {}) == dict.fromkeys(THREADS, "1")
    assert "OMP_NUM_THREADS" not in threads_for(3, 8, {"OMP_NUM_THREADS": "5"})
