"""What is written beside a committed offset, and that it stays short however often another model speaks."""

from streamrnn.provenance.pedigree import LONGEST_TEXT, Pedigree, Spoken

OLD = Pedigree("toy@1", "f" * 64, since=3, served_from=5, born="T.a")
NEW = Pedigree("toy@2", "g" * 64, since=40, served_from=60, born="T.a")


def test_a_pedigree_is_read_as_it_was_written_and_says_nothing_of_speakers_that_there_were_not() -> None:
    assert Pedigree.from_text(OLD.to_text()) == OLD
    assert "before" not in OLD.to_text()
    spoken = NEW.speaking_after(OLD, 100)
    assert Pedigree.from_text(spoken.to_text()) == spoken
    assert Pedigree.from_text("set by hand") is None


def test_who_speaks_after_another_remembers_who_spoke_before_and_from_where() -> None:
    spoken = NEW.speaking_after(OLD, 100)
    assert spoken == NEW._replace(served_from=100, before=(Spoken("toy@1", "f" * 64, 3, 5),))
    again = OLD.speaking_after(spoken, 200)
    assert again.before == (Spoken("toy@1", "f" * 64, 3, 5), Spoken("toy@2", "g" * 64, 40, 100))
    assert again.served_from == 200
    assert OLD.speaking_after(spoken, 100).before == spoken.before, "it has said nothing"


def test_very_many_changes_leave_the_newest_speakers_and_a_text_that_brokers_take() -> None:
    speaking, other = OLD, NEW._replace(model="n" * 255 + "@2")
    for offset in range(100, 200):
        speaking, other = other.speaking_after(speaking, offset), speaking
        assert len(speaking.to_text().encode()) <= LONGEST_TEXT
    assert speaking.before[-1].served_from == 198
    assert len(speaking.before) > 5
