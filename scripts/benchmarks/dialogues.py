"""Human comparisons of whole dialogues (Bai et al. 2022, helpful and harmless), as rows to learn a reward from.

A line of the file holds two dialogues that differ in their last answer. What both share is the prompt.
"""

import gzip
import json
import re
from collections.abc import Iterator
from pathlib import Path

from benchmarks.environments import Unavailable
from pawl.pairset import PairRow

FILE = "hh_rlhf_harmless_test.jsonl.gz"
ROLES = {"Human": "user", "Assistant": "assistant"}
_TURN = re.compile(r"\n\n(Human|Assistant):")


def read(data: Path | None) -> list[PairRow]:
    """The comparisons in the folder `data`; Unavailable without the file."""
    if data is None or not (data / FILE).is_file():
        raise Unavailable(f"human preferences: want --data DIR, a folder with {FILE}")
    with gzip.open(data / FILE, "rt", encoding="utf-8") as lines:
        return [row for line in lines for row in _rows(json.loads(line))]


def _rows(pair: dict[str, str]) -> Iterator[PairRow]:
    """One row, or none where the dialogues differ before their last answers, or not at all."""
    prompt, chosen = _parted(pair["chosen"])
    other, rejected = _parted(pair["rejected"])
    if prompt == other and chosen != rejected:
        questions = sum(message["role"] == "user" for message in prompt)
        yield PairRow(prompt, chosen, rejected, slices={"questions": str(questions) if questions < 3 else "3+"})


def _parted(dialogue: str) -> tuple[list[dict[str, str]], str]:
    """The messages before the last answer, and that answer.

    >>> _parted("\\n\\nHuman: Hi\\n\\nAssistant: Hello!")
    ([{'role': 'user', 'content': 'Hi'}], 'Hello!')
    """
    parts = _TURN.split(dialogue)[1:]
    messages = [
        {"role": ROLES[who], "content": said.strip()} for who, said in zip(parts[::2], parts[1::2], strict=True)
    ]
    return messages[:-1], messages[-1]["content"]
