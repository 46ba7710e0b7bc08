"""Pairs of answers in captured traffic: of several that one prompt has got, two that differ."""

import json
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import Any

from feedback.pairs import FILE_PAIRS
from feedback.schema import TEXT_LIMIT
from operations.stack import OperationError, Stack
from pawl.receipt import Receipt
from pawl.records import CaptureRecord

TEXT, REASON = "text", "finish_reason"
FINISHED = ("stop", "length")


def lines_of_traffic(stack: Stack, model: str, days: float, now_ms: int) -> bytes:
    """A file of the pairs in the last days' traffic of all versions; OperationError when there are none."""
    since_ms = now_ms - round(days * 86_400_000)
    versions = [record.version for record in stack.registry.versions(model)]
    records = chain.from_iterable(stack.traffic.records(model, each, since_ms, now_ms) for each in versions)
    found = list(islice(pairs_in(records), FILE_PAIRS))
    if not found:
        raise OperationError(f"no prompt of {model} got two different answers in {days:g} days: ask some with n=2")
    return "\n".join(json.dumps(pair, ensure_ascii=False) for pair in found).encode()


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
