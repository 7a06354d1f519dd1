"""`python -m streamrnn`, and `torchrun -m streamrnn retrain ...`."""

import sys

from streamrnn.cli import main

sys.exit(main())
