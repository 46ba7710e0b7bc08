"""Reward models and generators before the release: what is proved passes, what is not is refused with its reasons."""

import dataclasses
import io
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import boto3
import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from tests.functional.generators import MODEL, seal_generator
from tests.functional.rewards import seal_reward

from pawl.bundle import EVIDENCE, SIGNATURE, Bundle, Lineage, Manifest, seal
from pawl.dataset import FrozenDataset
from pawl.datasets import Datasets
from pawl.events import Announcer
from pawl.generator import TextGenerator
from pawl.pairset import PairDataset, PairRow, freeze_pairs
from pawl.sampling import Sampling
from pawl.versions import VersionRecord
from pawl.winning import win_rate
from release.deployment import Deployment
from release.gate import Case, Contender, Gate
from release.gates import judge_candidate
from release.judges import Judges
from release.layers import Layers
from release.policy import GatePolicy
from release.publication import Publication
from release.reconciliation import Shares

JUDGE = f"{MODEL}-reward"
POLICY = GatePolicy(latency_ratio=50.0, cold_start_runs=0, win_prompts=6, win_tokens=8)
HOUR_MS = 3_600_000
POLITE = {" weather is fine": 1.0, "not my parcel": -1.0}


class Key:
    """A signer with a key of its own."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        form = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        self.public_key = self._key.public_key().public_bytes(*form)

    def sign(self, message: bytes) -> bytes:
        return self._key.sign(message, ec.ECDSA(hashes.SHA256()))


class Shelf:
    """A deployment that only keeps what is published."""

    archive = b""

    def trust(self, public_key: bytes) -> None:
        pass

    def shares(self) -> Shares:
        return Shares("1", {})

    def publish_layer(self, key: str, archive: bytes, description: str) -> str:
        self.archive = archive
        return "arn:layer"


@pytest.fixture
def pairs(cloud: Any) -> PairDataset:
    """Comparisons whose better answer is now the longer, now the shorter one."""
    rows = [_pair(number) for number in range(24)]
    dataset = freeze_pairs(MODEL, {"train": rows[:12], "holdout": rows[12:]}, {"parent": None})
    Datasets(cloud.bucket).store(dataset)
    return dataset


@pytest.fixture
def judges(cloud: Any, now_ms: int) -> Judges:
    announcer = Announcer(boto3.client("events"), "pawl", "pawl.release")
    return Judges(cloud.bucket, cloud.registry, announcer, POLICY, Key(), lambda: now_ms)


@pytest.fixture
def offer(cloud: Any, tmp_path: Path, pairs: PairDataset) -> Callable[..., Bundle]:
    """Stores a reward model as training does."""

    def store(version: str, worth: Mapping[str, float] = POLITE, dataset: str = "", **about: str) -> Bundle:
        made_of = dataset or pairs.digest
        bundle = seal_reward(tmp_path / f"judge-{version}", JUDGE, version, made_of, worth, **about)
        cloud.store_files(f"candidates/{JUDGE}/{version}/", bundle)
        return bundle

    return store


@pytest.fixture
def aligned(cloud: Any, tmp_path: Path, pairs: PairDataset) -> Callable[..., list[Gate]]:
    """The gates of a generator that follows the parrot, by what its job says of it."""

    def judge(seed: int = 0, policy: GatePolicy = POLICY, dataset: str = "", **metrics: Any) -> list[Gate]:
        live = seal_generator(tmp_path / "live")
        made = seal_generator(tmp_path / f"candidate-{seed}", seed=seed)
        told: dict[str, Any] = {"alignment": {"reward": f"models:/{JUDGE}/1"}, "served": _served(24, 8)} | metrics
        about = {each.name: getattr(made.manifest, each.name) for each in dataclasses.fields(Manifest)}
        del about["files"]
        made_of = dataset or pairs.digest
        lineage = Lineage("run-2", made_of, f"models:/{MODEL}/1", "none", "Apache-2.0", "tests", recipe="align")
        candidate = seal(made.path, **{**about, "version": "2", "metrics": told, "lineage": lineage})
        return judge_candidate(Case(Contender.of(candidate), Contender.of(live), cloud.bucket, policy))

    return judge


def _pair(number: int) -> PairRow:
    better, worse = "the weather is fine", "it is not my parcel"
    more = " on its way" * 4
    texts = (better, worse + more) if number % 2 else (better + more, worse)
    return PairRow(f"question {number} of {number * 7}", *texts)


def _thumbs(count: int, first: int = 0) -> list[PairRow]:
    texts = (("the weather is fine", ""), ("", "it is not my parcel"))
    return [PairRow(f"question {n} of {n * 7}", *texts[n % 2]) for n in range(first + 100, first + count + 100)]


def _served(wins: int, losses: int) -> dict[str, Any]:
    found = win_rate([1.0] * wins + [0.0] * losses, [0.5] * (wins + losses))
    return {"win_rate": dataclasses.asdict(found), "against": f"models:/{MODEL}/1"}


def failed(gates: list[Any]) -> list[str]:
    return [name for name, passed in ((_of(gate, "name"), _of(gate, "passed")) for gate in gates) if not passed]


def _of(gate: Any, name: str) -> Any:
    return gate[name] if isinstance(gate, dict) else getattr(gate, name)


def test_a_first_reward_model_that_tells_good_answers_from_bad_is_signed_and_judges_from_now_on(
    judges: Judges, offer: Any, cloud: Any, now_ms: int
) -> None:
    bundle = offer("1")
    assert judges.concern(JUDGE, "1")

    record = judges.consider(JUDGE, "1", now_ms)

    assert (record.state, record.digest, failed(record.gates)) == ("live", bundle.digest, [])
    names = ["integrity", "licence", "size", "signature", "leak", "pairs", "determinism"]
    assert [gate["name"] for gate in record.gates] == names
    assert record.gates[5]["measured"] == "accuracy 1.0000 on 12 pairs"
    assert record.gates[5]["evidence"]["length_only"] == 0.5
    assert cloud.registry.live(JUDGE).version == "1"
    stored = cloud.bucket.read_folder(f"models/{JUDGE}/1/")
    assert {EVIDENCE, SIGNATURE} < set(stored)
    assert b"accuracy 1.0000 on 12 pairs" in cloud.bucket.read(f"cards/{JUDGE}/1.html")
    (announced,) = cloud.announced()
    assert (announced["type"], announced["id"]) == ("ModelReleased", f"released/{JUDGE}/1")
    assert announced["data"] == {"version": "1", "kind": "reward-model", "judges": MODEL}


def test_a_reward_model_is_in_no_layer_for_what_is_served_needs_the_room(
    judges: Judges, offer: Any, cloud: Any, starter: Bundle, dataset: FrozenDataset, now_ms: int
) -> None:
    offer("1")
    judges.consider(JUDGE, "1", now_ms)
    cloud.seed(starter, dataset)
    shelf = Shelf()
    manifest = {"files": starter.manifest.files}
    files = {path.name: path.read_bytes() for path in starter.path.iterdir()}

    deployment = cast("Deployment", shelf)
    layers = Layers(cloud.bucket, cloud.registry, deployment)
    publication = Publication(cloud.bucket, deployment, layers, Key())
    publication.publish(VersionRecord(MODEL, "2", "candidate", "", manifest), files)

    with zipfile.ZipFile(io.BytesIO(shelf.archive)) as archive:
        models = {name.split("/")[2] for name in archive.namelist()}
    assert models == {MODEL, "triage"}


def test_a_reward_model_that_knows_no_more_than_lengths_is_refused(
    judges: Judges, offer: Any, cloud: Any, now_ms: int
) -> None:
    offer("1", {" on its way": 1.0})

    record = judges.consider(JUDGE, "1", now_ms)

    assert (record.state, failed(record.gates)) == ("refused", ["pairs"])
    assert JUDGE not in cloud.registry.models()
    assert [event["type"] for event in cloud.announced()] == ["ReleaseRefused"]


def test_a_reward_model_that_is_worse_than_the_one_before_it_is_refused(
    judges: Judges, offer: Any, cloud: Any, now_ms: int
) -> None:
    offer("1")
    judges.consider(JUDGE, "1", now_ms)
    offer("2", {**POLITE, " on its way": 2.0})

    record = judges.consider(JUDGE, "2", now_ms)

    assert (record.state, failed(record.gates)) == ("refused", ["pairs", "live"])
    assert cloud.registry.live(JUDGE).version == "1"


def test_an_equally_good_one_that_has_learned_more_takes_its_place(
    judges: Judges, offer: Any, cloud: Any, now_ms: int
) -> None:
    for version in ("1", "2"):
        offer(version)
        judges.consider(JUDGE, version, now_ms)

    states = {each.version: each.state for each in cloud.registry.versions(JUDGE)}
    assert states == {"1": "retired", "2": "live"}
    assert cloud.registry.live(JUDGE).previous is None  # there is nothing that an alias could go back to


def test_a_licence_that_asks_for_more_than_a_name_is_refused(judges: Judges, offer: Any, now_ms: int) -> None:
    offer("1", licence="cc-by-nc-4.0")

    assert failed(judges.consider(JUDGE, "1", now_ms).gates) == ["licence"]


def test_a_reward_model_with_too_few_comparisons_to_be_judged_by_is_refused(
    judges: Judges, offer: Any, cloud: Any, now_ms: int
) -> None:
    offer("1")
    cloud.bucket.write(f"models/{JUDGE}/policy.json", b'{"schema": 1, "pairs_least": 20}')

    record = judges.consider(JUDGE, "1", now_ms)

    (gate,) = (gate for gate in record.gates if not gate["passed"])
    assert (gate["measured"], gate["wanted"]) == ("12 comparisons are held out", "at least 20")


def test_a_reward_model_with_an_altered_file_is_refused(judges: Judges, offer: Any, cloud: Any, now_ms: int) -> None:
    offer("1")
    cloud.bucket.write(f"candidates/{JUDGE}/1/reward.json", b"{}")

    assert failed(judges.consider(JUDGE, "1", now_ms).gates) == ["integrity"]


def test_a_crash_before_any_write_releases_a_reward_model_once_when_its_candidate_is_told_of_again(
    judges: Judges, offer: Any, cloud: Any, now_ms: int
) -> None:
    moments = [now_ms]
    judges = dataclasses.replace(judges, clock=lambda: moments[-1])
    for number in range(1, 40):
        version = str(number)
        offer(version)
        cloud.announced()
        cloud.faults.die_at(number)
        try:
            judges.consider(JUDGE, version, now_ms)
            break
        except cloud.faults.Died:
            cloud.faults.reset()
        moments.append(moments[-1] + HOUR_MS)  # a lease that was left behind is over
        judges.consider(JUDGE, version, now_ms)

        assert cloud.registry.live(JUDGE).version == version, number
        live = [each.version for each in cloud.registry.versions(JUDGE) if each.state == "live"]
        assert live == [version], number
        ids = {event["id"] for event in cloud.announced()}
        assert ids == {f"released/{JUDGE}/{version}"}, number
    assert number < 39


def test_other_candidates_are_none_of_their_business(judges: Judges, cloud: Any, starter: Bundle) -> None:
    cloud.store_files("candidates/triage/2/", starter)

    assert not judges.concern("triage", "2")
    assert not judges.concern("triage", "3")


def test_a_generator_that_is_proved_to_be_preferred_passes(
    judges: Judges, offer: Any, aligned: Any, now_ms: int
) -> None:
    offer("1")
    judges.consider(JUDGE, "1", now_ms)

    gates = {gate.name: gate for gate in aligned()}

    assert failed(list(gates.values())) == []
    assert list(gates) == [
        "signature",
        "licence",
        "size",
        "context",
        "leak",
        "win rate",
        "win rate again",
        "determinism",
        "latency",
        "cold start",
    ]
    assert gates["win rate"].measured == "0.7500, from 0.5789 to 0.8675, over 32 answers"
    assert gates["win rate again"].evidence["ties"] == 6  # the same weights and seeds: the same answers


@pytest.mark.parametrize(
    ("wins", "losses"),
    [(16, 16), (5, 3), (8, 24)],
    ids=["no better", "too few", "worse"],
)
def test_a_generator_that_its_job_has_not_proved_to_be_preferred_is_refused(
    wins: int, losses: int, judges: Judges, offer: Any, aligned: Any, now_ms: int
) -> None:
    offer("1")
    judges.consider(JUDGE, "1", now_ms)

    assert failed(aligned(served=_served(wins, losses))) == ["win rate"]


def test_a_generator_whose_answers_contradict_the_proof_is_refused(
    judges: Judges, offer: Any, aligned: Any, cloud: Any, now_ms: int, tmp_path: Path
) -> None:
    """The judge likes what the live parrot says to these very prompts, and not what another one does."""
    offer("1")
    judges.consider(JUDGE, "1", now_ms)
    policy = dataclasses.replace(POLICY, win_prompts=12, win_margin=0.0)
    said = {**dict.fromkeys(_said(tmp_path, 0, policy), 1.0), **dict.fromkeys(_said(tmp_path, 3, policy), -1.0)}
    cloud.registry.record_version(VersionRecord(JUDGE, "7", "live", ""))
    biased = seal_reward(tmp_path / "biased", JUDGE, "7", "none", said)
    cloud.store_files(f"models/{JUDGE}/7/", biased)

    gates = aligned(seed=3, policy=policy, alignment={"reward": f"models:/{JUDGE}/7"})

    assert failed(gates) == ["win rate again"]


def _said(tmp_path: Path, seed: int, policy: GatePolicy) -> list[str]:
    """What a parrot says to the held-out prompts."""
    parrot = TextGenerator(seal_generator(tmp_path / f"asked-{seed}", seed=seed))
    asked = [parrot.text_ids(str(_pair(12 + place).prompt)) for place in range(12)]
    samplings = [
        Sampling(max_tokens=policy.win_tokens, temperature=policy.win_temperature, seed=place) for place in range(12)
    ]
    return [parrot.generate(ids, sampling).text for ids, sampling in zip(asked, samplings, strict=True)]


@pytest.mark.parametrize(
    "metrics",
    [{"alignment": {}}, {"alignment": {"reward": "models:/other-reward/1"}}, {"alignment": {"reward": "implicit"}}],
    ids=["none", "another model's", "no model"],
)
def test_a_generator_that_no_released_judge_of_its_own_has_judged_is_refused(
    metrics: Any, judges: Judges, offer: Any, aligned: Any, now_ms: int
) -> None:
    offer("1")
    judges.consider(JUDGE, "1", now_ms)

    assert failed(aligned(**metrics)) == ["data"]


def test_thumbs_beside_comparisons_are_nothing_that_a_reward_model_is_judged_by(
    judges: Judges, offer: Any, cloud: Any, now_ms: int
) -> None:
    rows = [*(_pair(number) for number in range(24)), *_thumbs(8)]
    mixed = freeze_pairs(MODEL, {"train": rows[:12], "holdout": rows[12:]}, {"parent": None})
    Datasets(cloud.bucket).store(mixed)
    offer("1", dataset=mixed.digest)

    record = judges.consider(JUDGE, "1", now_ms)

    assert (record.state, failed(record.gates)) == ("live", [])
    assert next(gate for gate in record.gates if gate["name"] == "pairs")["evidence"]["rows"] == 12


@pytest.mark.parametrize(("wins", "losses", "refused"), [(24, 8, []), (8, 24, ["win rate"])], ids=["better", "worse"])
def test_a_generator_that_thumbs_alone_have_aligned_passes_by_what_it_finds_likelier(
    wins: int, losses: int, refused: list[str], aligned: Any, cloud: Any
) -> None:
    thumbs = freeze_pairs(MODEL, {"train": _thumbs(8), "holdout": _thumbs(12, first=8)}, {"parent": None})
    Datasets(cloud.bucket).store(thumbs)
    proof = _served(wins, losses)
    served = {"pairs_preferred": proof["win_rate"], "against": proof["against"]}

    gates = aligned(dataset=thumbs.digest, served=served, alignment={"reward": "implicit margin"})

    assert failed(gates) == refused
    again = next(gate for gate in gates if gate.name == "win rate again")
    assert again.evidence == {"interval": again.evidence["interval"], "answers": 6, "ties": 6}


def test_a_generator_that_avoids_the_released_judge_is_refused(
    judges: Judges, offer: Any, aligned: Any, now_ms: int
) -> None:
    offer("1")
    judges.consider(JUDGE, "1", now_ms)
    served = {**_served(24, 8), "pairs_preferred": _served(24, 8)["win_rate"]}

    assert failed(aligned(served=served, alignment={"reward": "implicit margin"})) == ["data"]


def test_a_generator_without_a_proof_is_refused(judges: Judges, offer: Any, aligned: Any, now_ms: int) -> None:
    offer("1")
    judges.consider(JUDGE, "1", now_ms)

    (gate,) = (gate for gate in aligned(served={}) if not gate.passed)
    assert (gate.name, gate.measured) == ("win rate", "the manifest holds none")
