"""A report as one page of HTML that needs nothing else: no network, no script, no font."""

from streamrnn.train.html.page import render

__all__ = ["render"]
