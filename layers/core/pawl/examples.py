"""What people said of answers, as the rows that TRL's trainers take: pure functions.

    KTO             {prompt, completion, label}                       a thumb
    DPO, Reward     {prompt, chosen, rejected} (+ margin)             a preference, a ranking, a better answer
    SFT             {prompt, completion}                              a demonstration
    GRPO            {prompt}                                          whatever was asked

A prompt is a text, or a conversation as a list of messages; its completions are then messages as well, as TRL's
conversational format wants them.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

Message = Mapping[str, str]
Prompt = str | Sequence[Message]
Row = dict[str, Any]
ASSISTANT = "assistant"


@dataclass(frozen=True, slots=True)
class Answer:
    """What was asked, and what was answered."""

    prompt: Prompt
    completion: str


class Preference(NamedTuple):
    """That one text answers a prompt better than another; `margin` is by how much, where anybody said so."""

    prompt: Prompt
    chosen: str
    rejected: str
    margin: float | None = None


def kto_row(answer: Answer, is_good: bool) -> Row:
    """One answer and whether it was good: a thumb is enough, no second answer is needed.

    >>> kto_row(Answer("Name a bird.", "A wren."), True)
    {'prompt': 'Name a bird.', 'completion': 'A wren.', 'label': True}
    """
    return {**sft_row(answer), "label": is_good}


def preference_row(preference: Preference) -> Row:
    """The better and the worse answer to one prompt, for DPO and for reward models.

    >>> preference_row(Preference("Name a bird.", "A wren.", "A bat.", 2.0))
    {'prompt': 'Name a bird.', 'chosen': 'A wren.', 'rejected': 'A bat.', 'margin': 2.0}
    """
    prompt, chosen, rejected, margin = preference
    row = {"prompt": _prompt(prompt), "chosen": _said(prompt, chosen), "rejected": _said(prompt, rejected)}
    return row if margin is None else {**row, "margin": margin}


def sft_row(answer: Answer) -> Row:
    """An answer to learn by heart: what a person showed to be right.

    >>> sft_row(Answer([{"role": "user", "content": "Hi"}], "Hello!"))["completion"]
    [{'role': 'assistant', 'content': 'Hello!'}]
    """
    return {"prompt": _prompt(answer.prompt), "completion": _said(answer.prompt, answer.completion)}


def grpo_rows(prompts: Iterable[Prompt]) -> Iterator[Row]:
    """Each different prompt once, in the order in which they were asked first.

    >>> list(grpo_rows(["Hi", "Name a bird.", "Hi"]))
    [{'prompt': 'Hi'}, {'prompt': 'Name a bird.'}]
    """
    seen = set[str]()
    for prompt in prompts:
        if (key := repr(_prompt(prompt))) not in seen:
            seen.add(key)
            yield {"prompt": _prompt(prompt)}


def _prompt(prompt: Prompt) -> str | list[dict[str, str]]:
    return prompt if isinstance(prompt, str) else [dict(message) for message in prompt]


def _said(prompt: Prompt, text: str) -> str | list[dict[str, str]]:
    """A completion in the format of its prompt."""
    return text if isinstance(prompt, str) else [{"role": ASSISTANT, "content": text}]
