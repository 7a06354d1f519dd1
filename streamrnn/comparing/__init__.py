"""Two models on the same ticks: what each missed, how sure the difference is, and who is shown to be better.

Sums and values alone: no engine, clock, topic or registry. Whoever steps both models hands over what both said.
"""

from streamrnn.comparing.live_verdict import LiveVerdict, verdict
from streamrnn.comparing.paired_comparison import PairedComparison, PairedScore, merged
from streamrnn.comparing.paired_errors import CompareBounds, PairedErrors
from streamrnn.comparing.pairing import ScoredCell, common_cells

__all__ = [
    "CompareBounds",
    "LiveVerdict",
    "PairedComparison",
    "PairedErrors",
    "PairedScore",
    "ScoredCell",
    "common_cells",
    "merged",
    "verdict",
]
