"""How a process starts and ends: what is imported by when, and what Ctrl-C finds on the way."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("torch", "numba", "llvmlite", "aiokafka", "pyarrow", "safetensors")
TELL = f"print(json.dumps([name for name in {HEAVY} if name in sys.modules]), flush=True)"
LISTENING = f"""
import json, os, sys
from streamrnn.cli import main
from streamrnn.http.server import HttpServer

async def tell(self):
    {TELL}
    os._exit(0)

HttpServer.start = tell
main(["serve", "--model.path", {{bundle!r}}, "--http.port", "0"])
"""
PARSING = f"""
import json, sys
from streamrnn.__main__ import main
try:
    main()
except SystemExit:
    {TELL}
"""
INTERRUPTED = """
import os, signal, sys

class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == "streamrnn.cli":
            os.kill(os.getpid(), signal.SIGINT)

if sys.argv.pop() == "ignoring":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
sys.meta_path.insert(0, Interrupting())
from streamrnn.__main__ import main
sys.exit(main())
"""
LEAVING = """
import sys, threading, time
from streamrnn.process.stopping import leave

threading.Thread(target=time.sleep, args=(60,), name=sys.argv[1]).start()
sys.exit(leave(3, "loading", patience_s=0.1))
"""


def run(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True, timeout=30)


def test_http_listens_before_what_takes_seconds_is_imported(tmp_path: Path) -> None:
    done = run(LISTENING.format(bundle=str(tmp_path)))
    assert (json.loads(done.stdout), done.returncode) == ([], 0), done.stderr


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["serve", "--help"], ["retrain", "--help"]])
def test_help_and_version_import_nothing_that_takes_seconds(arguments: list[str]) -> None:
    done = run(PARSING, *arguments)
    assert json.loads(done.stdout.splitlines()[-1]) == [], done.stderr


def test_ctrl_c_during_the_imports_ends_without_a_traceback() -> None:
    done = run(INTERRUPTED, "--version", "heeding")
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "", "")


def test_a_process_started_to_ignore_ctrl_c_goes_on_ignoring_it() -> None:
    done = run(INTERRUPTED, "--version", "ignoring")
    assert done.stdout.startswith("streamrnn "), done.stderr


@pytest.mark.parametrize(
    ("name", "said"), [("engine_0", "thread engine_0 hangs and is left behind\n"), ("loading_0", "")]
)
def test_a_thread_that_hangs_is_told_of_unless_its_work_was_given_up(name: str, said: str) -> None:
    done = run(LEAVING, name)
    assert (done.returncode, done.stderr) == (3, said)
