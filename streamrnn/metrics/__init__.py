"""Every metric, declared once and counted in columns. The only home of prometheus_client."""

from streamrnn.metrics.counted import Held, Metrics
from streamrnn.metrics.declared import DECLARED, OF_WORKERS, OUTCOMES, PHASES, STAGES, markdown_table
from streamrnn.metrics.standing import Standing
from streamrnn.metrics.supervised import WorkerCounts, form_of, merged

__all__ = [
    "DECLARED",
    "OF_WORKERS",
    "OUTCOMES",
    "PHASES",
    "STAGES",
    "Held",
    "Metrics",
    "Standing",
    "WorkerCounts",
    "form_of",
    "markdown_table",
    "merged",
]
