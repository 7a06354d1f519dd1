"""From history to a model: collect, split by time, fit, judge. Imports nothing of the service."""
