"""All that a deployment keeps of one person: to hand it to them, or to erase it.

An answer is theirs if feedback on it names them (`tags.subject`, `tags.user`), else if its request did (OpenAI's `user`
or `safety_identifier`, the parameter `user` of the Open Inference Protocol), else if they alone have rated it by name:
the rule by which datasets know whose a row is. Feedback is theirs if it names them, or is on an answer of theirs.

An erasure may die anywhere and be run again. What tells whose something is goes last: their own feedback after the
traffic that it names, the traffic after what others said of it.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from pawl.bucket import Bucket
from pawl.dataset import Row
from pawl.datasets import Datasets
from pawl.errors import InvalidRequest, NotFound
from pawl.feedback import FeedbackTable
from pawl.identity import isoformat
from pawl.pairset import PairRow
from pawl.quarantine import PREFIX as QUARANTINE
from pawl.quarantine import Entry, Quarantine
from pawl.receipt import ReceiptKeys
from pawl.records import inference_id_in
from pawl.registry import Registry
from pawl.tombstones import PREFIX, Tombstones, answer_uuid, bury, subject_digest
from pawl.traffic import Traffic

Item = Mapping[str, Any]
_NAMED = b'"subject":"'


@dataclass(frozen=True, slots=True)
class Subject:
    """A person by name, and by what stands for the name: its digest in datasets, pseudonyms in captured traffic."""

    name: str
    pseudonyms: frozenset[str]

    @classmethod
    def of(cls, name: str, keys: ReceiptKeys) -> Self:
        """The person whom requests and feedback call so."""
        if not name:
            raise InvalidRequest("want a subject's name, as requests or feedback tell it")
        return cls(name, frozenset(keys.pseudonyms(name)))

    @property
    def digests(self) -> frozenset[str]:
        """What tombstones call them."""
        return self.pseudonyms | {subject_digest(self.name)}

    def is_named(self, item: Item) -> bool:
        """Whether a piece of feedback says that its answer is theirs."""
        return self.name in (item["tags"].get("subject"), item["tags"].get("user"))

    def has_said(self, item: Item) -> bool:
        """Whether a piece of feedback is by them, or names them."""
        return item["rater"] == self.name or self.is_named(item)


@dataclass(frozen=True, slots=True)
class Deployment:
    """Where a deployment keeps what may be a person's."""

    bucket: Bucket
    feedback: FeedbackTable
    registry: Registry

    @property
    def traffic(self) -> Traffic:
        """The lake."""
        return Traffic(self.bucket)

    def quarantines(self) -> list[Quarantine]:
        """The quarantine of each model that has one."""
        models = dict.fromkeys(key.split("/")[1] for key in self.bucket.keys(QUARANTINE))
        return [Quarantine(self.bucket, model) for model in models]

    def trained_on(self, digests: set[str]) -> list[str]:
        """The versions of models, as `<model>@<version>`, whose manifests name one of these datasets."""
        found = list[str]()
        for model in self.registry.models():
            for version in (record.version for record in self.registry.versions(model)):
                try:
                    if self.registry.manifest(model, version).lineage.dataset in digests:
                        found.append(f"{model}@{version}")
                except NotFound:
                    continue  # a candidate that never became a model
        return found


@dataclass(frozen=True, slots=True)
class Holdings:
    """What is a subject's: answers by uuid, and pieces of feedback, of which `theirs` tell that the answers are."""

    subject: Subject
    answers: frozenset[str]
    others: list[Item] = field(default_factory=list[Item])
    theirs: list[Item] = field(default_factory=list[Item])

    def has(self, line: bytes) -> bool:
        """Whether a line of the lake is theirs."""
        return answer_uuid(inference_id_in(line)) in self.answers

    def holds(self, entry: Entry) -> bool:
        """Whether an entry of a quarantine is theirs."""
        return entry.rater == self.subject.name or answer_uuid(entry.inference_id) in self.answers

    def rows(self, bucket: Bucket) -> Iterator[tuple[str, str, Row | PairRow]]:
        """Their rows in frozen datasets, each with the dataset's digest and the split."""
        stones, datasets = Tombstones(self.subject.digests, self.answers), Datasets(bucket)
        for digest in datasets.digests():
            for split, row in datasets.rows(digest):
                if stones.cover_any(row.answers, row.subject):
                    yield digest, split, row


def find(deployment: Deployment, subject: Subject) -> Holdings:
    """Look through all feedback, and all of the lake, for what is a subject's."""
    named, asked = dict[str, set[bool]](), dict[str, bool]()
    raters = dict[str, set[str]]()
    for item in deployment.feedback.all():
        uuid, tags = _answer_of(item), item["tags"]
        if tags.get("subject") or tags.get("user"):
            named.setdefault(uuid, set()).add(subject.is_named(item))
        raters.setdefault(uuid, set()).add(item["rater"] if "rater" in tags else "")
    for _, lines in deployment.traffic.lines():
        for line in lines:
            if _NAMED in line and (pseudonym := json.loads(line).get("subject")):
                asked[answer_uuid(inference_id_in(line))] = pseudonym in subject.pseudonyms
    rated = {uuid for uuid, by in raters.items() if by == {subject.name}} - named.keys() - asked.keys()
    told = {uuid for uuid, is_theirs in asked.items() if is_theirs} - named.keys()
    answers = frozenset({uuid for uuid, are_theirs in named.items() if True in are_theirs} | told | rated)
    holdings = Holdings(subject, answers)
    for item in deployment.feedback.all():
        if subject.has_said(item):
            holdings.theirs.append(item)
        elif _answer_of(item) in answers:
            holdings.others.append(item)
    return holdings


def export(deployment: Deployment, subject: Subject) -> dict[str, Any]:
    """All that is kept of a subject, and which models were trained on it, as JSON has it."""
    found = find(deployment, subject)
    traffic = [json.loads(line) for _, lines in deployment.traffic.lines() for line in lines if found.has(line)]
    entries = [each for quarantine in deployment.quarantines() for each in quarantine.entries() if found.holds(each)]
    rows = [{"dataset": digest, "split": split, **asdict(row)} for digest, split, row in found.rows(deployment.bucket)]
    return {
        "subject": subject.name,
        "traffic": traffic,
        "feedback": [*found.theirs, *found.others],
        "quarantine": [asdict(entry) for entry in entries],
        "dataset_rows": rows,
        "models": deployment.trained_on({row["dataset"] for row in rows}),
    }


def erase(deployment: Deployment, subject: Subject, now_ms: int) -> dict[str, Any]:
    """Erase a subject, and return (and keep) a receipt that counts what was erased and tells nothing of it.

    Frozen datasets stay as they are: a digest names them. The receipt names those that hold rows of the subject and the
    models trained on them; no later dataset inherits these rows.
    """
    found, bucket = find(deployment, subject), deployment.bucket
    rows = [digest for digest, _, _ in found.rows(bucket)]
    bury(bucket, subject.digests, found.answers)
    feedback_ids = {item["feedback_id"] for item in (*found.theirs, *found.others)}
    entries = sum(quarantine.forget(found.holds, feedback_ids) for quarantine in deployment.quarantines())
    _remove(deployment.feedback, found.others)
    records = _rewrite(deployment.traffic, found.has)
    _remove(deployment.feedback, found.theirs)
    versions = sum(map(bucket.forget_replaced, ("traffic/", QUARANTINE)))
    receipt = {
        "subject": subject_digest(subject.name),
        "erased_at": isoformat(now_ms),
        "answers": len(found.answers),
        "traffic_records": records,
        "feedback": len(feedback_ids),
        "quarantine_entries": entries,
        "replaced_versions": versions,
        "rows_in_datasets": {digest: rows.count(digest) for digest in dict.fromkeys(rows)},
        "models": deployment.trained_on(set(rows)),
    }
    key = f"{PREFIX}receipts/{receipt['subject']}/{receipt['erased_at']}.json"
    bucket.write(key, json.dumps(receipt, indent=1).encode())
    return receipt


def _remove(table: FeedbackTable, items: list[Item]) -> None:
    for item in items:
        table.remove(item)


def _rewrite(traffic: Traffic, is_theirs: Callable[[bytes], bool]) -> int:
    """Leave in the lake what is not theirs; how many records were."""
    erased = 0
    for key, lines in traffic.lines():
        kept = [line for line in lines if not is_theirs(line)]
        if len(kept) < len(lines):
            traffic.rewrite(key, kept)
        erased += len(lines) - len(kept)
    return erased


def _answer_of(item: Item) -> str:
    return str(item["sk"]).partition("#")[0]
