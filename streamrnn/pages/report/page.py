"""The page: sections in the order a reader asks for them, in one file that allows nothing but its own style."""

from typing import NamedTuple

from streamrnn.pages.axes import MINUTE
from streamrnn.pages.formats import duration, when
from streamrnn.pages.markup import Markup, join, named, tag
from streamrnn.pages.report import facts, learning, per_stream, scores
from streamrnn.pages.style import STYLE
from streamrnn.train.retrain_report import RetrainReport

POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


class PageSection(NamedTuple):
    """A part of the page with a heading of its own; one without content is left out."""

    key: str
    title: str
    content: Markup


def render(report: RetrainReport) -> str:
    """The whole page; it loads nothing and runs nothing. Reads as HTML and, below its first line, as XML."""
    sections = [section for section in _sections(report) if section.content]
    links = [tag("a", section.title, href=f"#{section.key}") for section in sections]
    body = tag(
        "body",
        tag("header", _heading(report), scores.verdict(report)),
        tag("nav", *links, aria_label="Sections"),
        tag("main", join(_shown(section) for section in sections)),
        tag("footer", "Written by streamrnn. All numbers are in report.json beside this page."),
    )
    return f"<!DOCTYPE html>\n{tag('html', _head(report), body, lang='en')}\n"


def _sections(report: RetrainReport) -> list[PageSection]:
    return [
        PageSection("scores", "Scores", scores.scores(report)),
        PageSection("streams", "Streams", per_stream.streams(report)),
        PageSection("coverage", "Quantiles", scores.coverage(report)),
        PageSection("samples", "Predictions", learning.samples(report)),
        PageSection("training", "Training", learning.training(report)),
        PageSection("data", "Data", facts.data(report)),
        PageSection("model", "Model", facts.model(report)),
        PageSection("recipe", "Recipe", facts.recipe(report)),
        PageSection("versions", "Versions", facts.versions(report)),
    ]


def _head(report: RetrainReport) -> Markup:
    verdict = "promoted" if report.verdict.promoted else "not promoted"
    return tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=POLICY),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("meta", name="referrer", content="no-referrer"),
        tag("title", f"{report.spec.label}: {verdict}"),
        tag("style", Markup(STYLE)),
    )


def _heading(report: RetrainReport) -> Markup:
    source = tag("span", named(report.source, 120))
    minute = report.created_ms // MINUTE * MINUTE
    words = [tag("span", "Retrain report"), tag("span", f"{when(minute)} UTC"), source]
    took = tag("span", f"took {duration(report.seconds)}")
    return tag("p", *words, took, class_="eyebrow")


def _shown(section: PageSection) -> Markup:
    heading = tag("h2", section.title, id=f"{section.key}-h")
    return tag("section", heading, section.content, id=section.key, aria_labelledby=f"{section.key}-h")
