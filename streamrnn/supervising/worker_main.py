"""What a worker's process runs: the service, at its seat. Its settings are in its environment."""

import sys
from pathlib import Path

from streamrnn.process.children import InputEnd
from streamrnn.process.seats import Seat
from streamrnn.process.signals import ending_in_order


def main() -> int:
    """Serve until the supervisor says so, or is gone."""
    input_end = InputEnd()  # before imports that take long: one that hangs must not outlive the supervisor
    from streamrnn.config import load_settings
    from streamrnn.service import serve

    number, folder = sys.argv[1:]
    with ending_in_order():
        return serve(load_settings(), Seat(int(number), Path(folder)), input_end)


if __name__ == "__main__":
    sys.exit(main())
