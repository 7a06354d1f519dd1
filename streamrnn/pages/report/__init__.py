"""The retrain report as one page of HTML that needs nothing else: no network, no script, no font.

Owns the report's sections; the only part of pages/ that knows what a fit, a score or a spec is.
"""

from streamrnn.pages.report.page import render

__all__ = ["render"]
