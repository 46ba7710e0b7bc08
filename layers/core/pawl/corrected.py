"""What a correction puts in the place of what a model answered: `{"outputs": [{"name": ..., "data": [...]}]}`.

Two outputs can be learned from, a classifier's labels and a generator's texts; a correction of any other is kept, and
teaches nothing.
"""

from typing import Any

from pawl.narrowing import is_list, is_object

LABEL, TEXT = "label", "text"


def corrected(value: Any, output: str) -> list[str] | None:
    """What an output should have been, a text a row; None where the correction says nothing of it, or no texts.

    >>> corrected({"outputs": [{"name": "label", "data": ["billing"]}]}, LABEL)
    ['billing']
    """
    outputs = value.get("outputs") if is_object(value) else None
    named = [each for each in outputs if is_object(each) and each.get("name") == output] if is_list(outputs) else []
    told = named[0].get("data") if len(named) == 1 else None
    return told if is_list(told) and all(isinstance(each, str) and each for each in told) else None


def teaches(value: Any) -> bool:
    """Whether anything can be learned from a correction."""
    return any(corrected(value, output) is not None for output in (LABEL, TEXT))
