"""The way in: `streamrnn`, `python -m streamrnn`, and `torchrun -m streamrnn retrain ...`. Knows no command."""

import signal
import sys


def main() -> int:
    """Import the command line, then run it.

    While it is imported there is nothing to put away: Ctrl-C ends the process as it ends any other, and no import
    is interrupted halfway, which would show a traceback.
    """
    before = signal.getsignal(signal.SIGINT)
    if before is signal.default_int_handler:  # a background job of a shell ignores it, and goes on ignoring it
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from streamrnn.cli import main as run

    signal.signal(signal.SIGINT, before)
    return run()


if __name__ == "__main__":
    sys.exit(main())
