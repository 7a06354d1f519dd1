"""Every metric, declared once and counted in columns. The only home of prometheus_client."""

from streamrnn.metrics.counted import Held, Metrics, NullMetrics
from streamrnn.metrics.declared import OUTCOMES, PHASES, STAGES, catalogue, markdown_table

__all__ = ["OUTCOMES", "PHASES", "STAGES", "Held", "Metrics", "NullMetrics", "catalogue", "markdown_table"]
