"""Every metric, declared once and counted in columns. The only home of prometheus_client."""

from streamrnn.metrics.counted import Held, Metrics
from streamrnn.metrics.declared import DECLARED, OUTCOMES, PHASES, STAGES, markdown_table

__all__ = ["DECLARED", "OUTCOMES", "PHASES", "STAGES", "Held", "Metrics", "markdown_table"]
