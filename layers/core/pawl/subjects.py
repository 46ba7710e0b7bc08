"""All that a deployment keeps of one person: to hand it to them, or to erase it.

An answer is theirs if feedback on it names them (`tags.subject`, `tags.user`), and if its request did (OpenAI's `user`
or `safety_identifier`, the parameter `user` of the Open Inference Protocol), whomever else one of both names; where
nobody is named, if they alone have rated it by name. Feedback is theirs if it names them, is by them, or is on an
answer of theirs; a comparison is on each answer that it names.

An erasure may die anywhere and be run again. What tells whose something is goes last: their own feedback after the
traffic that it names, the traffic after what others said of it, and all of these after what is told apart by answers.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol, Self

from pawl.bucket import Bucket
from pawl.dataset import Row
from pawl.datasets import Datasets
from pawl.drops import Refused
from pawl.errors import InvalidRequest, NotFound
from pawl.feedback import TOOLS, FeedbackTable, answers_of
from pawl.identity import isoformat
from pawl.offered import PREFIX as PAIRS
from pawl.offered import Offered
from pawl.pairset import PairRow
from pawl.quarantine import PREFIX as QUARANTINE
from pawl.quarantine import Entry, Quarantine
from pawl.receipt import ReceiptKeys
from pawl.records import inference_id_in
from pawl.registry import Registry
from pawl.tombstones import PREFIX, Tombstones, answer_uuid, answers_in, bury, subject_digest
from pawl.traffic import Traffic

Item = Mapping[str, Any]
_NAMED = b'"subject":"'


@dataclass(frozen=True, slots=True)
class Subject:
    """A person by name, and by what stands for the name: its digest in datasets, pseudonyms in captured traffic.

    `names` are what raters are called who are this person: the name, and what annotation tools make of it.
    """

    name: str
    pseudonyms: frozenset[str]
    names: frozenset[str]

    @classmethod
    def of(cls, name: str, keys: ReceiptKeys) -> Self:
        """The person whom requests and feedback call so; a mere number is no name in a tool, whose own id it may be."""
        if not name:
            raise InvalidRequest("want a subject's name, as requests or feedback tell it")
        tools = () if name.isdigit() else TOOLS
        return cls(name, frozenset(keys.pseudonyms(name)), frozenset({name, *(f"{tool}/{name}" for tool in tools)}))

    @property
    def digests(self) -> frozenset[str]:
        """What tombstones call them."""
        return self.pseudonyms | frozenset(map(subject_digest, self.names))

    def is_named(self, item: Item) -> bool:
        """Whether a piece of feedback says that its answer is theirs."""
        return self.name in (item["tags"].get("subject"), item["tags"].get("user"))

    def has_said(self, item: Item) -> bool:
        """Whether a piece of feedback is by them, or names them."""
        return item["rater"] in self.names or self.is_named(item)

    def has_cell(self, row: str) -> bool:
        """Whether their name is a whole value of a row, of CSV or of JSON as it was dropped."""
        spelt = {*self.names, *(json.dumps(name)[1:-1] for name in self.names)}
        return re.search(rf'(?:^|[",])\s*(?:{"|".join(map(re.escape, spelt))})\s*(?:$|[",])', row) is not None


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

    def training_on(self, digests: set[str]) -> list[str]:
        """The runs that have not ended and learn from one of these datasets."""
        return [str(run["sk"]) for run in self.registry.runs() if "ended_ms" not in run and run["dataset"] in digests]


class Shelf(Protocol):
    """Where what may be a person's lies line by line."""

    def lines(self) -> Iterator[tuple[str, list[bytes]]]:
        """Every object by its key, with its lines."""
        ...

    def rewrite(self, key: str, lines: Sequence[bytes]) -> None:
        """Leave an object with these of its lines."""
        ...


@dataclass(frozen=True, slots=True)
class Holdings:
    """What is a subject's: answers by uuid, and pieces of feedback, of which `theirs` tell that the answers are."""

    subject: Subject
    answers: frozenset[str]
    others: list[Item]
    theirs: list[Item]
    feedback_ids: frozenset[str]

    def has_answer(self, line: bytes) -> bool:
        """Whether a line of the lake is theirs."""
        return answer_uuid(inference_id_in(line)) in self.answers

    def has_pair(self, line: bytes) -> bool:
        """Whether an answer in a line of pairs is theirs."""
        return not self.answers.isdisjoint(answers_in(line))

    def has_row(self, line: bytes) -> bool:
        """Whether a row that was refused names them, or an answer of theirs."""
        return self.has_pair(line) or self.subject.has_cell(json.loads(line)["row"])

    def holds(self, entry: Entry) -> bool:
        """Whether an entry of a quarantine is theirs."""
        is_said = entry.rater in self.subject.names or entry.feedback_id in self.feedback_ids
        return is_said or answer_uuid(entry.inference_id) in self.answers

    def tallied(self, table: FeedbackTable) -> list[Item]:
        """What is tallied of their comparisons and of those of their answers."""
        keys = {item["sk"] for item in (*self.theirs, *self.others)}
        return [item for item in table.tallied() if item["sk"] in keys or self._is_tallied(str(item["sk"]))]

    def rows(self, bucket: Bucket) -> Iterator[tuple[str, str, Row | PairRow]]:
        """Their rows in frozen datasets, each with the dataset's digest and the split."""
        stones, datasets = Tombstones(self.subject.digests, self.answers), Datasets(bucket)
        for digest in datasets.digests():
            for split, row in datasets.rows(digest):
                if stones.cover_any(row.answers, *row.whose):
                    yield digest, split, row

    def _is_tallied(self, key: str) -> bool:
        answer, _, rater = key.split("#", 2)
        return answer in self.answers or rater in self.subject.names


def find(deployment: Deployment, subject: Subject) -> Holdings:
    """Look through all feedback, and all of the lake, for what is a subject's."""
    named, asked = dict[str, bool](), dict[str, bool]()
    raters = dict[str, set[str]]()
    for item in deployment.feedback.all():
        tags = item["tags"]
        for uuid in answers_of(item):
            if tags.get("subject") or tags.get("user"):
                named[uuid] = named.get(uuid, False) or subject.is_named(item)
            raters.setdefault(uuid, set()).add(item["rater"] if "rater" in tags else "")
    for _, lines in deployment.traffic.lines():
        for line in lines:
            if _NAMED in line and (pseudonym := json.loads(line).get("subject")):
                asked[answer_uuid(inference_id_in(line))] = pseudonym in subject.pseudonyms
    rated = {uuid for uuid, by in raters.items() if by <= subject.names} - named.keys() - asked.keys()
    told = {uuid for whose in (named, asked) for uuid, is_theirs in whose.items() if is_theirs}
    answers, theirs, others = frozenset(told | rated), list[Item](), list[Item]()
    for item in deployment.feedback.all():
        if subject.has_said(item):
            theirs.append(item)
        elif not answers.isdisjoint(answers_of(item)):
            others.append(item)
    return Holdings(subject, answers, others, theirs, frozenset(item["feedback_id"] for item in (*theirs, *others)))


def export(deployment: Deployment, subject: Subject) -> dict[str, Any]:
    """All that is kept of a subject, and which models were trained on it, as JSON has it."""
    found, bucket = find(deployment, subject), deployment.bucket
    entries = [each for quarantine in deployment.quarantines() for each in quarantine.entries() if found.holds(each)]
    rows = [{"dataset": digest, "split": split, **asdict(row)} for digest, split, row in found.rows(bucket)]
    return {
        "subject": subject.name,
        "traffic": _parsed(deployment.traffic, found.has_answer),
        "feedback": [*found.theirs, *found.others],
        "compared": found.tallied(deployment.feedback),
        "pairs": _parsed(Offered(bucket), found.has_pair),
        "refused_rows": _parsed(Refused(bucket), found.has_row),
        "quarantine": [asdict(entry) for entry in entries],
        "dataset_rows": json.loads(json.dumps(rows)),
        "models": deployment.trained_on({row["dataset"] for row in rows}),
    }


def erase(deployment: Deployment, subject: Subject, now_ms: int) -> dict[str, Any]:
    """Erase a subject, and return (and keep) a receipt that counts what was erased and tells nothing of it.

    Frozen datasets stay as they are: a digest names them. The receipt names those that hold rows of the subject, the
    models trained on them and the runs that are; no later dataset inherits these rows.
    """
    found, bucket = find(deployment, subject), deployment.bucket
    rows = [digest for digest, _, _ in found.rows(bucket)]
    bury(bucket, subject.digests, found.answers)
    entries = sum(quarantine.forget(found.holds, found.feedback_ids) for quarantine in deployment.quarantines())
    pairs = _rewrite(Offered(bucket), found.has_pair)
    refused = _rewrite(Refused(bucket), found.has_row)
    tallied = found.tallied(deployment.feedback)
    _remove(deployment.feedback, [*tallied, *found.others])
    records = _rewrite(deployment.traffic, found.has_answer)
    _remove(deployment.feedback, found.theirs)
    versions = sum(map(bucket.forget_replaced, ("traffic/", PAIRS, QUARANTINE))) + Refused(bucket).forget_replaced()
    receipt = {
        "subject": subject_digest(subject.name),
        "erased_at": isoformat(now_ms),
        "answers": len(found.answers),
        "traffic_records": records,
        "feedback": len(found.feedback_ids),
        "compared": len(tallied),
        "pairs": pairs,
        "refused_rows": refused,
        "quarantine_entries": entries,
        "replaced_versions": versions,
        "rows_in_datasets": {digest: rows.count(digest) for digest in dict.fromkeys(rows)},
        "models": deployment.trained_on(set(rows)),
        "runs": deployment.training_on(set(rows)),
    }
    key = f"{PREFIX}receipts/{receipt['subject']}/{receipt['erased_at']}.json"
    bucket.write(key, json.dumps(receipt, indent=1).encode())
    return receipt


def _remove(table: FeedbackTable, items: list[Item]) -> None:
    for item in items:
        table.remove(item)


def _parsed(shelf: Shelf, is_theirs: Callable[[bytes], bool]) -> list[Any]:
    """What of a shelf is theirs."""
    return [json.loads(line) for _, lines in shelf.lines() for line in lines if is_theirs(line)]


def _rewrite(shelf: Shelf, is_theirs: Callable[[bytes], bool]) -> int:
    """Leave on a shelf what is not theirs; how many lines were."""
    erased = 0
    for key, lines in shelf.lines():
        kept = [line for line in lines if not is_theirs(line)]
        if len(kept) < len(lines):
            shelf.rewrite(key, kept)
        erased += len(lines) - len(kept)
    return erased
