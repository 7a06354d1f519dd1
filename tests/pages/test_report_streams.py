"""What the report page says of single streams, of chance, and of what else a reader must know."""

import pytest

from streamrnn.pages.report import render
from streamrnn.train.retrain_report import Comparison, RetrainReport, StreamScore, StreamScores, Verdict

from .test_report_page import parsed, report, table, words


def fleet(streams: int, listed: int | None = None) -> RetrainReport:
    """Streams s0, s1 ..., each one better than the last; the first two are worse than persistence."""
    rows = [
        StreamScore(stream=f"s{n}", truths=99, std_mse=[4.0 / (n + 1), 1.5, 2.0, 3.0, 2.5]) for n in range(streams)
    ]
    shown = rows if listed is None else [*rows[: listed // 2], *rows[-listed // 2 :]]
    scores = StreamScores(
        scored=streams,
        rows=shown,
        levels=[0.0, 0.5, 1.0],
        quantiles=[0.25, 0.5, None],
        judged=streams,
        worse=[2, 1, 0, 7, 3],
    )
    return report(streams=scores)


def test_single_streams_are_shown_the_worst_first_with_everybodys_errors() -> None:
    page = parsed(render(fleet(5)))
    said = words(next(s for s in page.iter("section") if s.get("id") == "streams"))
    assert "The model is worse than persistence on 2 of 5 (40.0\u00a0%), oil@6 on 1, day ago on 7, AR on 3." in said
    rows = table(page, "All streams, the worst first")
    assert [row[0] for row in rows[1:]] == ["s0", "s1", "s2", "s3", "s4"]
    assert rows[0][2:] == ["oil@7", "oil@6", "as is", "day ago", "AR", "Against persistence"]
    assert rows[1][1:3] == ["99", "4.000"]
    against = ["+100", "0.0", "\u221233.3", "\u221250.0", "\u221260.0"]
    assert [row[-1] for row in rows[1:]] == [f"{percent}\u00a0%" for percent in against]
    assert table(page, "Over the streams") == [
        ["Streams", "best", "middle", "worst"],
        ["Error \u00f7 persistence", "0.250", "0.500", "\u221e"],
    ]


@pytest.mark.parametrize(("streams", "listed", "words_"), [(25, None, "All 25"), (5000, 200, "200 of 5,000")])
def test_of_many_streams_the_worst_and_the_best_are_shown(streams: int, listed: int | None, words_: str) -> None:
    page = parsed(render(fleet(streams, listed)))
    assert [row[0] for row in table(page, "Worst streams")[1:]] == [f"s{n}" for n in range(10)]
    assert [row[0] for row in table(page, "Best streams")[1:]] == [f"s{streams - 1 - n}" for n in range(10)]
    assert words_ in words(page)


def test_one_stream_has_no_section_of_its_own() -> None:
    assert all(section.get("id") != "streams" for section in parsed(render(fleet(1))).iter("section"))


def test_notes_and_what_stands_against_a_promotion_are_listed_below_the_lead() -> None:
    verdict = Verdict(promoted=False, policy="if-better", reason="MSE 1 against 2; not shown; too many", margin=0.0)
    page = parsed(render(report(verdict=verdict, notes=["rain has no score"])))
    [lead] = [p for p in page.iter("p") if p.get("class") == "lead"]
    assert words(lead) == "MSE 1 against 2"
    [notes] = [ul for ul in page.iter("ul") if ul.get("class") == "notes"]
    assert [words(item) for item in notes] == ["not shown", "too many", "rain has no score"]


def test_what_may_be_chance_is_said_beside_the_number() -> None:
    beside = [
        Comparison(name=name, difference=-0.1, error=0.2, p=p, moments=99, is_shown=p < 0.05)
        for name, p in (("oil@6", 0.3), ("as is", 0.001))
    ]
    tiles = [words(item) for item in parsed(render(report(comparisons=beside))).iter("li")]
    [champion] = [tile for tile in tiles if "the champion" in tile]
    [persistence] = [tile for tile in tiles if "error against persistence" in tile]
    assert champion.endswith(", may be chance")
    assert "chance" not in persistence
