"""Puts placeholders where personal data was, before anything is stored: <EMAIL>, and <EMAIL_2> for another one.

Within a record, or a piece of feedback, the same value has the same placeholder wherever it stands, so that what refers
to it still does; across records nothing can be joined by it. Case and spacing do not make another value.
"""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from pawl.errors import SettingsError
from pawl.narrowing import is_list, is_object
from pawl.personal import FINDERS, check_regions, find
from pawl.records import CaptureRecord

ALL_KINDS = ",".join(FINDERS)
NONE = "none"
REGIONS = "DE,GB,US"
_MASKED = str, list, dict
_FORMATTING = re.compile(r"[\s()/.-]+")


@dataclass(frozen=True, slots=True)
class Policy:
    """Which kinds of personal data are masked, and whose phone numbers are known without their +code."""

    kinds: tuple[str, ...] = tuple(FINDERS)
    regions: tuple[str, ...] = tuple(REGIONS.split(","))

    @classmethod
    def of(cls, kinds: str, regions: str) -> "Policy":
        """The policy in two settings, each a list with commas; SettingsError for a kind or a region that is none.

        >>> Policy.of("phone,email", "DE")
        Policy(kinds=('email', 'phone'), regions=('DE',))
        """
        wanted = {each.strip() for each in kinds.split(",")} - {NONE}
        if not wanted <= set(FINDERS):
            raise SettingsError(f"MASK_PERSONAL_DATA={kinds!r}: want {NONE!r}, or some of {ALL_KINDS}")
        codes = tuple(each.strip() for each in regions.split(",") if each.strip())
        check_regions(codes)
        return cls(tuple(kind for kind in FINDERS if kind in wanted), codes)


NOTHING = Policy((), ())


class Masker:
    """Masks the texts of one record or piece of feedback.

    >>> mask = Masker(Policy())
    >>> mask("ada@example.org wrote to bob@example.org"), mask(["Ada@example.org?"])
    ('<EMAIL> wrote to <EMAIL_2>', ['<EMAIL>?'])
    """

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._placeholders: dict[tuple[str, str], str] = {}
        self._counts: dict[str, int] = {}

    def __call__(self, value: Any) -> Any:
        """A value with every text in it masked; the names of an object's fields stay."""
        if isinstance(value, str):
            return self._text(value)
        if is_list(value):
            return [self(each) if isinstance(each, _MASKED) else each for each in value]
        return {name: self(each) for name, each in value.items()} if is_object(value) else value

    def meet(self, texts: Iterable[str]) -> None:
        """Give texts their placeholders in an order of their own: they get the same in whatever order they come.

        >>> mask = Masker(Policy())
        >>> mask.meet(["to bob@example.org", "to ada@example.org"])
        >>> mask("to bob@example.org")
        'to <EMAIL_2>'
        """
        for text in sorted(texts):
            self(text)

    def _text(self, text: str) -> str:
        if text[:1] in ("[", "{"):
            try:
                return self._json(text)
            except (ValueError, RecursionError):
                pass  # no JSON, or none that anybody reads
        parts, end = list[str](), 0
        for span in find(text, self._policy.kinds, self._policy.regions):
            parts += [text[end : span.start], self._placeholder(span.kind, text[span.start : span.end])]
            end = span.end
        return "".join([*parts, text[end:]]) if parts else text

    def _json(self, text: str) -> str:
        """A text of JSON, such as a conversation: where its texts begin, only JSON says."""
        structure = json.loads(text)
        masked = self(structure)
        return text if masked == structure else json.dumps(masked, ensure_ascii=False, separators=(",", ":"))

    def _placeholder(self, kind: str, found: str) -> str:
        key = kind, _key(kind, found)
        if key not in self._placeholders:
            self._counts[kind] = number = self._counts.get(kind, 0) + 1
            self._placeholders[key] = f"<{kind.upper()}>" if number == 1 else f"<{kind.upper()}_{number}>"
        return self._placeholders[key]


def mask_record(record: CaptureRecord, policy: Policy) -> CaptureRecord:
    """A captured record without the personal data in its texts; its inference_id still signs what was really asked."""
    if not policy.kinds:
        return record
    mask = Masker(policy)
    return replace(record, inputs=mask(record.inputs), outputs=mask(record.outputs), features=mask(record.features))


def _key(kind: str, found: str) -> str:
    return found.casefold() if kind in ("email", "ip") else _FORMATTING.sub("", found).casefold()
