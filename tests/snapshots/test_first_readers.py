"""Threads that are the first of a process to read manifests, all at once, as those that restore partitions are."""

import subprocess
import sys

import pytest

CODE = """
import sys, threading
sys.setswitchinterval(1e-6)
from streamrnn.snapshots.chain import SnapshotManifest, seal, unseal
facts = dict.fromkeys(("model", "fingerprint", "born", "columns", "device"), "x")
raw, _ = seal(SnapshotManifest(format=1, partition=0, since=0, offset=3, base=0, parts=(), **facts))
start = threading.Barrier(4)

def read():
    start.wait()
    assert unseal(raw)[0].offset == 3

threads = [threading.Thread(target=read) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
"""


@pytest.mark.parametrize("turn", range(5))
def test_the_first_to_read_manifests_may_be_several_threads(turn: int) -> None:
    """msgspec crashed at that two times in five, until the decoders were made at import."""
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, ""), turn
