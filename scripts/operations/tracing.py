"""`pawl lineage`: what an id names, what it came from, and every model version that saw it.

    an inference_id, or its uuid    the answer: version, run, dataset, traffic, code, feedback, who learned from it
    a feedback id                   the same of the answer that it is about
    models:/NAME/VERSION or @live   what made the version, and what followed it
    a run's id, a dataset's digest  what it was made of, and what it made
    a name, or the digest of one    a subject or rater, erased or not: the versions whose datasets hold their rows

A text that was asked twice is one row, under its first answer: the later ones are in no dataset.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from operations.lineage import Exposure, Lineage, Origins, Version
from operations.origins import captured, count_rows, read_lineage
from operations.reading import named_version
from operations.stack import OperationError, Stack
from pawl.dataset import Row
from pawl.datasets import Datasets
from pawl.feedback import answers_of
from pawl.identity import isoformat, unix_ms_of
from pawl.pairset import PairRow
from pawl.quarantine import Quarantine
from pawl.subjects import Subject
from pawl.tombstones import Tombstones, subject_digest

_RECEIPT = re.compile(r"[A-Za-z0-9]{1,8}\.[0-9a-f]{32}\.[a-z0-9-]+\.\d+\.\d+\.\d+\.[\w-]+\.[\w-]+")
_UUID = re.compile(r"[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}")
_ANSWER = re.compile(r"[0-9a-f]{12}7[0-9a-f]{3}[89ab][0-9a-f]{15}")
_BEGINNING = re.compile(r"[0-9a-f]{8,63}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
WANTED = (
    "want an inference_id, a feedback id, a run's id (scripts/pawl runs), a dataset's digest, models:/NAME/VERSION "
    "(scripts/pawl releases), or a subject's name"
)
Trace = dict[str, Any]


class Tracer:
    """Follows one id both ways."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._lineage: Lineage = read_lineage(stack.registry, stack.bucket)
        self._kinds: Mapping[str, Callable[[str], Trace]] = {
            "answer": self._answer,
            "feedback": self._feedback,
            "version": self._version,
            "run": self._run,
            "dataset": self._dataset,
            "subject": self._subject,
        }

    def trace(self, name: str, is_subject: bool = False) -> Trace:
        """All that is known of an id, as JSON has it; OperationError when nothing is."""
        if not name:
            raise OperationError("an empty id names nothing", WANTED)
        name = name if is_subject else self._whole(name)
        kind = "subject" if is_subject else self.kind_of(name)
        return {"id": name, "kind": kind, **self._kinds[kind](name)}

    def kind_of(self, name: str) -> str:
        """What an id names; whatever looks like none is a subject's name."""
        if _RECEIPT.fullmatch(name):
            return "answer"
        if name.startswith("models:/"):
            return "version"
        if name in self._lineage.datasets:
            return "dataset"
        if self._stack.registry.run(name):
            return "run"
        if _ANSWER.fullmatch(name):
            return "answer"
        return "feedback" if _UUID.fullmatch(name) else "subject"

    def _whole(self, name: str) -> str:
        """A digest's or a run's id of which only the beginning was given; anything else as it is."""
        if not _BEGINNING.fullmatch(name):
            return name
        runs = (str(run["sk"]) for run in self._stack.registry.runs())
        found = [each for each in (*self._lineage.datasets, *runs) if each.startswith(name)]
        return found[0] if len(found) == 1 else name

    def _answer(self, inference_id: str) -> Trace:
        if "." not in inference_id:
            return self._about_answer(inference_id, {})
        _, uuid, model, version, function_version, rows, *_ = inference_id.split(".")
        about = {
            "model": f"models:/{model}/{version}",
            "function_version": function_version,
            "rows": int(rows),
            "captured": captured(self._stack.bucket, inference_id) is not None,
        }
        return self._about_answer(uuid, about, model, version)

    def _feedback(self, feedback_id: str) -> Trace:
        found = next((item for item in self._stack.feedback.all() if item["feedback_id"] == feedback_id), None)
        if found is None:
            raise OperationError(f"no feedback {feedback_id!r}", WANTED)
        model = str(found["pk"]).partition("#")[0]
        quarantine = Quarantine(self._stack.bucket, model)
        waits = any(entry.feedback_id == feedback_id for entry in quarantine.entries())
        about = {
            "model": f"models:/{model}/{found['model_version']}",
            "metric": found["metric"],
            "rater": found["rater"],
            "said_at": found["given_at"],
            "inference_id": found.get("inference_id") or found.get("episode_id", ""),
            "quarantine": "waits" if waits else "restored" if feedback_id in quarantine.restored() else "no",
        }
        return self._about_answer(str(found["sk"]).partition("#")[0], about, model, found["model_version"])

    def _about_answer(self, uuid: str, about: Mapping[str, Any], model: str = "", version: str = "") -> Trace:
        """An answer by its uuid, which alone does not tell whose it is."""
        said = self._stack.feedback.of_answer(model, uuid) if model else []
        erased = uuid in Tombstones.of(self._stack.bucket).answers
        wanted = Origins(answers=frozenset({uuid}))
        return {
            "about": {"given_at": isoformat(unix_ms_of(uuid)), **about, "erased": erased},
            "feedback": [
                {name: each[name] for name in ("feedback_id", "metric", "rater", "given_at")} for each in said
            ],
            **self._made_by(self._lineage.versions.get(f"models:/{model}/{version}")),
            "seen_by": self._seen_by(wanted.cover),
        }

    def _version(self, name: str) -> Trace:
        model, number = named_version(self._stack, name)
        version = self._lineage.versions.get(f"models:/{model}/{number}")
        if version is None:
            raise OperationError(f"no version {number} of {model!r}", f"scripts/pawl releases {model} lists them")
        record = self._stack.registry.version(model, number)
        gates = record.gates if record else []
        about = {
            "model": version.uri,
            "state": version.state,
            "gates": f"{sum(g['passed'] for g in gates)}/{len(gates)}",
        }
        return {
            "about": {**about, "digest": record.digest if record else ""},
            **self._made_by(version),
            "followed_by": [asdict(each) for each in self._lineage.children(version)],
        }

    def _run(self, run: str) -> Trace:
        made = next((each for each in self._lineage.versions.values() if each.run == run), None)
        return {"about": self._run_facts(run), **self._made_by(made)}

    def _dataset(self, digest: str) -> Trace:
        """Where a dataset's rows are now, compared with those of the datasets that inherited from it."""
        rows = {_key(row) for _, row in Datasets(self._stack.bucket).rows(digest)}
        among = [digest, *(each.digest for each in self._lineage.heirs(digest))]
        return {
            "about": {"model": self._lineage.datasets[digest].model, "rows": len(rows)},
            "datasets": self._sources(digest),
            "seen_by": self._seen_by(lambda row: _key(row) in rows, among),
        }

    def _subject(self, name: str) -> Trace:
        """A subject or rater: the rows that are theirs, and those of answers on which they said something."""
        digest = name if _DIGEST.fullmatch(name) else subject_digest(name)
        called = frozenset({digest}) if digest == name else Subject.of(name, self._stack.receipt_keys).digests
        said = [item for item in self._stack.feedback.all() if not called.isdisjoint(_people(item))]
        answers = frozenset(uuid for item in said for uuid in answers_of(item))
        seen_by = self._seen_by(Origins(answers, called).cover)
        is_erased = not called.isdisjoint(Tombstones.of(self._stack.bucket).subjects)
        if not (said or seen_by or is_erased):
            raise OperationError(f"nothing here is by or about {name!r}", WANTED)
        about = {"subject": digest, "erased": is_erased, "feedback": len(said), "answers": len(answers)}
        return {"about": about, "seen_by": seen_by}

    def _made_by(self, version: Version | None) -> Trace:
        """A version's way back: itself, its run, its datasets and the versions before it."""
        if version is None:
            return {}
        return {
            "version": asdict(version),
            "run": self._run_facts(version.run),
            "datasets": self._sources(version.dataset),
            "parents": [asdict(each) for each in self._lineage.parents(version)],
        }

    def _run_facts(self, run: str) -> Trace:
        body = self._stack.registry.run(run)
        if body is None:
            return {}
        facts = {name: body.get(name, "") for name in ("model", "version", "recipe", "status", "because", "dataset")}
        return {"run": run, **facts, "created_at": isoformat(body["created_ms"])}

    def _sources(self, digest: str) -> list[Trace]:
        wanted = ("version", "traffic_window", "feedback", "raters")
        return [
            {"digest": each.digest, "rows": each.rows}
            | {name: each.lineage[name] for name in wanted if name in each.lineage}
            for each in self._lineage.sources(digest)
        ]

    def _seen_by(self, is_wanted: Callable[[Row | PairRow], bool], among: Sequence[str] | None = None) -> list[Trace]:
        digests = self._lineage.datasets if among is None else among
        rows = count_rows(self._stack.bucket, digests, is_wanted)
        return [_plain(each) for each in self._lineage.exposures(rows)]


def _plain(exposure: Exposure) -> Trace:
    version = exposure.version
    about = {"version": version.uri, "state": version.state, "how": exposure.how}
    return {**about, "dataset": exposure.dataset, "rows": dict(exposure.rows)}


def _key(row: Row | PairRow) -> tuple[str, ...]:
    """What a row is known by in every dataset that inherits it."""
    if isinstance(row, PairRow):
        return str(row.prompt), row.chosen, row.rejected, *row.answers
    return row.text, row.label, row.answer


def _people(item: Mapping[str, Any]) -> set[str]:
    """The digests of whom feedback is by, about or for."""
    tags = item.get("tags", {})
    return {subject_digest(name) for name in (item["rater"], tags.get("subject"), tags.get("user")) if name}
