"""`python -m streamrnn`, and `torchrun -m streamrnn retrain ...`."""

import sys

from streamrnn.cli import main

if __name__ == "__main__":
    sys.exit(main())
