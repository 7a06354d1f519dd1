"""A report as one page of HTML that needs nothing else: no network, no script, no font."""

from streamrnn.pages.page import render

__all__ = ["render"]
