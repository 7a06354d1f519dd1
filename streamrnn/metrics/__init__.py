"""Every metric, declared once and counted in columns. The only home of prometheus_client.

Owns names, labels and buckets. Knows nothing of what is counted.
"""

from streamrnn.metrics.counted import Held, Metrics
from streamrnn.metrics.counters import Counters
from streamrnn.metrics.declared import DECLARED, OF_WORKERS, OUTCOMES, PHASES, STAGES, markdown_table
from streamrnn.metrics.worker_counts import WorkerCounts, form_of, merged

__all__ = [
    "DECLARED",
    "OF_WORKERS",
    "OUTCOMES",
    "PHASES",
    "STAGES",
    "Counters",
    "Held",
    "Metrics",
    "WorkerCounts",
    "form_of",
    "markdown_table",
    "merged",
]
