"""Pairs of answers in captured traffic: of several that one prompt has got, two that differ.

Where the model's reward model is released, it says of each pair how likely the first answer is the better one, so that
people are asked first where it knows least.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from feedback.pairs import FILE_PAIRS
from feedback.schema import TEXT_LIMIT
from operations.stack import OperationError, Stack
from pawl.errors import NotFound
from pawl.pairset import judge_of
from pawl.receipt import Receipt
from pawl.records import CaptureRecord
from pawl.reward import parse_prompt, stored_judge

TEXT, REASON = "text", "finish_reason"
FINISHED = ("stop", "length")


def lines_of_traffic(stack: Stack, model: str, days: float, now_ms: int) -> bytes:
    """A file of the pairs in the last days' traffic of all versions, each as a released reward model judges it.

    OperationError when there are none.
    """
    since_ms = now_ms - round(days * 86_400_000)
    versions = [record.version for record in stack.registry.versions(model)]
    records = chain.from_iterable(stack.traffic.records(model, each, since_ms, now_ms) for each in versions)
    found = list(islice(pairs_in(records), FILE_PAIRS))
    if not found:
        raise OperationError(f"no prompt of {model} got two different answers in {days:g} days: ask some with n=2")
    return "\n".join(json.dumps(pair, ensure_ascii=False) for pair in with_chances(stack, model, found)).encode()


def with_chances(stack: Stack, model: str, pairs: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The pairs with the `chance` that the live reward model gives the first answer; as they are where none is live."""
    try:
        live = stack.registry.live(judge_of(model))
    except NotFound:
        return list(pairs)
    with TemporaryDirectory() as folder:
        judge = stored_judge(stack.bucket, live.model, live.version, Path(folder))
        asked = [(parse_prompt(pair["prompt"]), answer["text"]) for pair in pairs for answer in pair["answers"]]
        rewards = judge.rewards(*zip(*asked, strict=True)).tolist()
        chances = map(judge.preference_probability, rewards[::2], rewards[1::2])
        return [{**pair, "chance": round(chance, 4)} for pair, chance in zip(pairs, chances, strict=True)]


def pairs_in(records: Iterable[CaptureRecord]) -> Iterator[dict[str, Any]]:
    """One pair a prompt, as `feedback.pairs` has it: answers to one request, or of requests with the same input."""
    first: dict[str, tuple[str, str]] = {}
    paired = set[str]()
    for record in records:
        digest, prompts = Receipt.unproved(record.inference_id).input_digest, _prompts(record)
        texts = _texts(record)
        if digest in paired or len(prompts) != 1 or not texts or not _fits(*prompts, *texts):
            continue
        (prompt,) = prompts
        if len(texts) > 1:
            paired.add(digest)
            answers: list[dict[str, Any]] = [{"text": text} for text in texts[:2]]
            yield {"prompt": prompt, "answers": answers, "inference_id": record.inference_id}
        elif len(record.outputs[TEXT]) == 1:  # its receipt stands for this very answer
            before = first.setdefault(digest, (texts[0], record.inference_id))
            if before[0] != texts[0]:
                paired.add(digest)
                both = (before, (texts[0], record.inference_id))
                yield {"prompt": prompt, "answers": [{"text": text, "inference_id": id} for text, id in both]}


def _prompts(record: CaptureRecord) -> set[str]:
    """The different prompts of a request that has one column of texts."""
    columns = list(record.inputs.values())
    return set(map(str, columns[0])) if len(columns) == 1 else set()


def _texts(record: CaptureRecord) -> list[str]:
    """Its different answers, in their order, less those that nobody got as a whole."""
    answers = zip(record.outputs.get(TEXT, []), record.outputs.get(REASON, []), strict=False)
    return list(dict.fromkeys(str(text) for text, reason in answers if reason in FINISHED))


def _fits(*texts: str) -> bool:
    return all(0 < len(text) <= TEXT_LIMIT for text in texts)
