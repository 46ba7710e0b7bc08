"""The fields of an OpenAI request, read one by one; whichever is wrong is refused by its name.

As in OpenAI's own service null means the same as leaving a field out, so clients may send every field they know.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from inference.refusals import RefusedField
from pawl.narrowing import is_list, is_object

HINTS: Mapping[str, tuple[type, str]] = {
    "user": (str, "a string"),
    "safety_identifier": (str, "a string"),
    "prompt_cache_key": (str, "a string"),
    "prompt_cache_retention": (str, "a string"),
    "metadata": (dict, "an object"),
    "parallel_tool_calls": (bool, "true or false"),
}
"""What a request may say of who asks and how to keep it: checked, and gone; a record has a pseudonym of who asks."""
_SHOWN = 5


class Fields:
    """A JSON object whose fields are read by name; `where` is its path in the request."""

    def __init__(self, raw: Mapping[str, Any], where: str = "") -> None:
        self.raw = raw
        self._where = f"{where}." if where else ""

    def refuse(self, name: str, message: str, code: str | None = None) -> RefusedField:
        """The error that says what is wrong with a field."""
        return RefusedField(self._where + name, message, code)

    def check_names(self, known: Collection[str], neutral: Mapping[str, Sequence[Any]]) -> None:
        """Refuse fields that nobody knows, and those not offered here unless they hold what asks for nothing."""
        unknown = sorted(name for name in self.raw if name not in known and name not in neutral)
        if unknown:
            names = ", ".join(ascii(name[:40]) for name in unknown[:_SHOWN])
            raise self.refuse(unknown[0][:40], f"unknown fields {names}: want {', '.join(sorted(known))}")
        for name in self.raw.keys() & neutral.keys():
            if self.raw[name] is not None and self.raw[name] not in neutral[name]:
                raise self.refuse(name, "not offered here: leave it out", "unsupported_parameter")

    def check_hints(self) -> None:
        """Refuse hints that are not of their type."""
        for name, (kind, wanted) in HINTS.items():
            if not isinstance(self.raw.get(name), kind | None):
                raise self.refuse(name, f"want {wanted}")

    def user(self) -> str:
        """Who asks, under OpenAI's newer name for it or its older one; empty where the request does not tell."""
        return self.raw.get("safety_identifier") or self.raw.get("user") or ""

    def number(self, name: str, default: float, low: float, high: float) -> float:
        """A number from `low` to `high`."""
        value = self.raw.get(name)
        if value is None:
            return default
        if type(value) not in (int, float) or not low <= value <= high:
            raise self.refuse(name, f"want a number from {low:g} to {high:g}")
        return value

    def whole(self, name: str, low: int, high: int) -> int | None:
        """A whole number from `low` to `high`, or None."""
        value = self.raw.get(name)
        if value is not None and (type(value) is not int or not low <= value <= high):
            raise self.refuse(name, f"want a whole number from {low} to {high}")
        return value

    def flag(self, name: str) -> bool:
        """True or false; false where it is left out."""
        value = self.raw.get(name)
        if value is not None and not isinstance(value, bool):
            raise self.refuse(name, "want true or false")
        return value or False

    def text(self, name: str) -> str | None:
        """A string that UTF-8 can hold, or None."""
        value = self.raw.get(name)
        if value is None:
            return None
        if not isinstance(value, str):
            raise self.refuse(name, "want a string")
        return self.check_text(name, value)

    def check_text(self, name: str, text: str) -> str:
        """The text; JSON can escape half a surrogate pair, which no tokenizer takes."""
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise self.refuse(name, "holds half a surrogate pair: want Unicode text") from error
        return text

    def texts(self, name: str) -> list[str] | None:
        """A string or a list of strings, as a list; None where it is left out or holds anything else."""
        value = self.raw.get(name)
        texts = [value] if isinstance(value, str) else value
        if not is_list(texts) or not all(isinstance(each, str) for each in texts):
            return None
        return [self.check_text(name, each) for each in texts]

    def object(self, name: str) -> "Fields | None":
        """An object, read in its turn, or None."""
        value = self.raw.get(name)
        if value is not None and not is_object(value):
            raise self.refuse(name, "want an object")
        return None if value is None else Fields(value, self._where + name)
