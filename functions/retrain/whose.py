"""Whose a row is: whom feedback names and who asked are on one side of the split; whoever is erased takes it along.

The subject is whom feedback names first, else who asked, else the only rater. Beside them a row is everybody's whom
feedback names, who asked, or whose own words it holds: none of them may find it in a later dataset. Whom feedback names
is known by the pseudonyms of their requests as well.
"""

from collections.abc import Iterable
from typing import NamedTuple, Protocol

from pawl.tombstones import subject_digest
from retrain.groups import hang_together


class Word(Protocol):
    """What a rater said, as selections of every kind keep it."""

    @property
    def feedback_id(self) -> str:
        """Its id."""
        ...

    @property
    def rater(self) -> str:
        """Who said it."""
        ...

    @property
    def subject(self) -> str:
        """The digest of whom it is about or for; empty where it does not tell."""
        ...

    @property
    def pseudonyms(self) -> tuple[str, ...]:
        """What captured answers call that person, by each key at that time."""
        ...

    @property
    def is_named(self) -> bool:
        """Whether the rater is a name that the feedback gives."""
        ...


class Whose(NamedTuple):
    """People by the digest or pseudonym of their name; `is_rater` where the subject is only known by their rating.

    `people` are all who asked or are named, beside the subject; `authors` those whose words it holds.
    """

    subject: str = ""
    is_rater: bool = False
    people: tuple[str, ...] = ()
    authors: tuple[str, ...] = ()

    @property
    def everybody(self) -> tuple[str, ...]:
        """The subject and all beside them."""
        return (self.subject, *self.people) if self.subject else ()

    @property
    def askers(self) -> tuple[str, ...]:
        """Who must not be trained on and held out: who only rates or writes what is better may be both."""
        return () if self.is_rater else self.everybody


def whose(told: Iterable[Word], askers: Iterable[str], authors: Iterable[str] = ()) -> Whose:
    """Whose that is of which this was told; `askers` and `authors` as records and digests name them, empty for none."""
    told = sorted(told, key=lambda each: each.feedback_id)
    named, asked = [each.subject for each in told if each.subject], sorted({*askers} - {""})
    subject, is_rater = next(iter([*named, *asked]), ""), False
    if not subject and told and all(each.is_named and each.rater == told[0].rater for each in told):
        subject, is_rater = subject_digest(told[0].rater), True
    pseudonyms = {pseudonym for each in told for pseudonym in each.pseudonyms}
    people = {*named, *asked, *pseudonyms} - {subject}
    return Whose(subject, is_rater, tuple(sorted(people)), tuple(sorted({*authors} - {subject, *people})))


def persons(told: Iterable[Word]) -> dict[str, str]:
    """One name for each person, by each that feedback tells is theirs: their digest and their pseudonyms."""
    names = [(each.subject, *each.pseudonyms) for each in told if each.subject]
    together, first = hang_together(names), dict[int, str]()
    for name in sorted(together):
        first.setdefault(together[name], name)
    return {name: first[group] for name, group in together.items()}
