"""Whose a row is: one subject decides on its side of the split, and whoever is erased takes along what is theirs too.

The subject is whom feedback names first, else who asked, else the only rater. Beside them a row is everybody's whom
feedback names, who asked, or whose own words it holds: none of them may find it in a later dataset.
"""

from collections.abc import Iterable
from typing import NamedTuple, Protocol

from pawl.tombstones import subject_digest


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
    def is_named(self) -> bool:
        """Whether the rater is a name that the feedback gives."""
        ...


class Whose(NamedTuple):
    """People by the digest or pseudonym of their name; `is_rater` where the subject is only known by their rating."""

    subject: str = ""
    is_rater: bool = False
    people: tuple[str, ...] = ()


def whose(told: Iterable[Word], askers: Iterable[str], authors: Iterable[str] = ()) -> Whose:
    """Whose that is of which this was told; `askers` and `authors` as records and digests name them, empty for none."""
    told = sorted(told, key=lambda each: each.feedback_id)
    named, asked = [each.subject for each in told if each.subject], sorted({*askers} - {""})
    subject, is_rater = next(iter([*named, *asked]), ""), False
    if not subject and told and all(each.is_named and each.rater == told[0].rater for each in told):
        subject, is_rater = subject_digest(told[0].rater), True
    return Whose(subject, is_rater, tuple(sorted({*named, *asked, *authors} - {"", subject})))
