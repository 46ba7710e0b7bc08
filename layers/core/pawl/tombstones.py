"""Who and what was erased: no dataset frozen later holds it, not even a row inherited from an earlier one.

An erasure is an empty object whose key says all, so that two of them never race and a reader needs no look inside:

    tombstones/subject/<sha256 of the subject>      a rater, or who `tags.subject` or `tags.user` names
    tombstones/subject/<pseudonym>                  the same person, as captured traffic names them
    tombstones/inference/<uuid of the answer>       one answer, with whatever was asked and said of it

A digest keeps a name from being read off the list. It is a pseudonym all the same: who guesses the name can check it.
"""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from pawl.errors import InvalidReceipt

if TYPE_CHECKING:
    from pawl.bucket import Bucket

PREFIX = "tombstones/"
_SUBJECT, _INFERENCE = f"{PREFIX}subject/", f"{PREFIX}inference/"
_NAMED = re.compile(rb"\.([0-9a-f]{32})\.")


def subject_digest(subject: str) -> str:
    """What stands for a subject where their name must not.

    >>> subject_digest("ada")[:12]
    'fdee430d40bd'
    """
    return hashlib.sha256(subject.encode("utf-8", "surrogatepass")).hexdigest()


def answer_uuid(inference_id: str) -> str:
    """The uuid in an inference_id, which names the answer where the whole receipt is not kept."""
    parts = inference_id.split(".")
    if len(parts) < 2 or not parts[1]:
        raise InvalidReceipt(f"no inference_id: {inference_id!r}; want one as an answer came with")
    return parts[1]


def answers_in(text: bytes) -> set[str]:
    """The uuids in all inference_ids that a text holds, whatever its format.

    >>> answers_in(b'{"chosen": "1.018bcfe5680070008000000000000000.assistant.1.3.1.x.y"}')
    {'018bcfe5680070008000000000000000'}
    """
    return {found.decode() for found in _NAMED.findall(text)}


@dataclass(frozen=True, slots=True)
class Tombstones:
    """The erased subjects, by digest, and answers, by uuid."""

    subjects: frozenset[str] = frozenset()
    answers: frozenset[str] = frozenset()

    @classmethod
    def of(cls, bucket: "Bucket") -> Self:
        """All that were ever erased in a deployment."""
        subjects, answers = (
            frozenset(key.removeprefix(prefix) for key in bucket.keys(prefix)) for prefix in (_SUBJECT, _INFERENCE)
        )
        return cls(subjects, answers)

    def cover(self, answer: str, *subjects: str) -> bool:
        """Whether an answer's uuid, or one of these subjects' digests, was erased; an empty one is nobody's."""
        return answer in self.answers or not self.subjects.isdisjoint(subjects)

    def cover_any(self, answers: Iterable[str], *subjects: str) -> bool:
        """Whether one of these answers or subjects was erased, as a dataset's row names them."""
        return self.cover("", *subjects) or not self.answers.isdisjoint(answers)


def bury(bucket: "Bucket", digests: Iterable[str], answers: Iterable[str]) -> None:
    """Keep subjects, by digest or pseudonym, and answers, by uuid, out of every later dataset."""
    for key in [*(_SUBJECT + digest for digest in digests), *(_INFERENCE + uuid for uuid in answers)]:
        bucket.write(key, b"")


def erase_answer(bucket: "Bucket", inference_id: str) -> str:
    """Erase one answer from every later dataset, and return its uuid; again changes nothing."""
    uuid = answer_uuid(inference_id)
    bucket.write(_INFERENCE + uuid, b"")
    return uuid
