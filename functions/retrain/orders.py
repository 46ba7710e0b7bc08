"""What a run of each recipe is to work on: its dataset, frozen now or by an earlier run, and what it is to follow.

    transfer, recalibrate   labelled traffic     a version of the model
    reward                  compared answers     a version of the model's judge, `<model>-reward`
    align                   those of the judge   a version of the model, as its judge prefers it
    align by kto            thumbs and pairs     a version of the model

An alignment takes the dataset that its judge has learned from, so what is held out was seen by neither; rows of whoever
was erased since are left out, which makes it another one. One by KTO needs no judge and learns from what is frozen now;
a judge that is released compares its answers all the same. A model may have its own knobs for a recipe, a JSON file
`models/<model>/knobs/<recipe>.json` in the bucket.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from pawl.bucket import Bucket
from pawl.datasets import Datasets
from pawl.errors import InvalidDataset, NotFound
from pawl.feedback import FeedbackTable
from pawl.identity import unix_ms
from pawl.masking import Policy
from pawl.metrics import Metric
from pawl.pairset import PairDataset, judge_of
from pawl.quarantine import Quarantine
from pawl.registry import Registry
from pawl.tombstones import Tombstones
from pawl.traffic import Traffic
from pawl.versions import Live
from retrain.comparisons import METRICS
from retrain.decision import ALIGN, KTO, REWARD
from retrain.freezing import Frozen, Rules, freeze_traffic
from retrain.gold import gold_in
from retrain.inheritance import less_erased
from retrain.pairs import TRAIN, freeze_comparisons
from retrain.selection import Selection
from retrain.thumbs import graded
from retrain.trust import trust_in

GENERATOR = "text-generator"
_DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Order:
    """A job to submit: `model` is what it makes a version of, `serves` the model whose loop it turns.

    `live` is the folder of the version that it is compared with; `more` are parameters that not every job has.
    """

    recipe: str
    model: str
    serves: str
    dataset: str
    parent: str
    live: str
    more: Mapping[str, str] = field(default_factory=dict[str, str])
    judge: str = ""
    """The reward model's version, where one is aligned with."""


@dataclass(frozen=True, slots=True)
class Orders:
    """Makes orders from what a deployment has stored."""

    bucket: Bucket
    registry: Registry
    feedback: FeedbackTable
    window_days: float
    metrics: Mapping[str, Metric]
    """What feedback may be given in here."""
    policy: Policy = field(default_factory=Policy)
    """What was masked of it before it was stored."""

    def selection(self, live: Live, now_ms: int) -> Selection:
        """The answers that are learned from: of the window that ends now, in the metrics that the model's kind has."""
        window = (now_ms - round(self.window_days * _DAY_MS), now_ms)
        kind = self.registry.manifest(live.model, live.version).kind
        plain = Selection(live.model, live.version, window)
        of_generator = Selection(live.model, live.version, window, METRICS, graded(self.metrics, live.model))
        return of_generator if kind == GENERATOR else plain

    def learned_until_ms(self, live: Live) -> int:
        """When the dataset that the next one follows was frozen; 0 where it holds no traffic, or there is none."""
        is_generator = self.registry.manifest(live.model, live.version).kind == GENERATOR
        digests = self._compared_before(live) if is_generator else [self._dataset_of(live)]
        for digest in digests:
            try:
                window = Datasets(self.bucket).lineage(digest).get("traffic_window")
            except NotFound:
                continue
            return unix_ms(window[1]) if window else 0
        return 0

    def make(self, recipe: str, live: Live, now_ms: int, method: str = "") -> Order | str:
        """The order for a run of a recipe, perhaps by a method; where there is nothing new to learn from, why."""
        if recipe == ALIGN and method == KTO:
            return self._alignment_by_thumbs(live, now_ms)
        if recipe == ALIGN:
            return self._alignment(live)
        frozen = (self._comparisons if recipe == REWARD else self._labels)(self.selection(live, now_ms))
        if not frozen.learned:
            return f"nothing new to learn from: {_reasons(frozen)}"
        Datasets(self.bucket).store(frozen.dataset)
        return self._order(recipe, live, frozen.dataset.digest)

    def judge(self, model: str) -> Live | None:
        """The released reward model of a model; None when there is none yet."""
        try:
            return self.registry.live(judge_of(model))
        except NotFound:
            return None

    def _order(self, recipe: str, live: Live, dataset: str) -> Order:
        """An order to follow the live version; of a reward model, the one before it, or the model that it judges."""
        before = (self.judge(live.model) or live) if recipe == REWARD else live
        made = judge_of(live.model) if recipe == REWARD else live.model
        parent, knobs = f"models:/{before.model}/{before.version}", self._knobs(live.model, recipe)
        return Order(recipe, made, live.model, dataset, parent, self._folder(before), knobs)

    def _alignment(self, live: Live) -> Order | str:
        judge = self.judge(live.model)
        if judge is None:
            return f"no reward model of {live.model} is released"
        learned = self.registry.manifest(judge.model, judge.version).lineage.dataset
        dataset = less_erased(Datasets(self.bucket).load_pairs(learned), Tombstones.of(self.bucket))
        if TRAIN not in dataset.splits:
            return f"nothing is left to learn from of what the reward model of {live.model} learned from"
        Datasets(self.bucket).store(dataset)
        order = self._order(ALIGN, live, dataset.digest)
        return replace(order, more={**order.more, "reward": self._folder(judge)}, judge=judge.version)

    def _alignment_by_thumbs(self, live: Live, now_ms: int) -> Order | str:
        frozen = self._comparisons(self.selection(live, now_ms))
        if not frozen.learned:
            return f"nothing new to learn from: {_reasons(frozen)}"
        told = frozen.dataset.splits.get(TRAIN, [])
        if not all(any(getattr(row, name) for row in told) for name in ("chosen", "rejected")):
            return "every thumb points the same way: nothing says what would be better"
        Datasets(self.bucket).store(frozen.dataset)
        order, judge = self._order(ALIGN, live, frozen.dataset.digest), self.judge(live.model)
        rewards = {"reward": self._folder(judge)} if judge else {}
        return replace(order, more={**order.more, **rewards, "method": KTO})

    def _knobs(self, model: str, recipe: str) -> dict[str, str]:
        """Where the knobs lie that somebody has turned for a model's recipe, if anybody did."""
        key = f"models/{model}/knobs/{recipe}.json"
        return {"knobs": f"s3://{self.bucket.name}/{key}"} if key in self.bucket.keys(key) else {}

    def _folder(self, live: Live) -> str:
        return f"s3://{self.bucket.name}/models/{live.model}/{live.version}/"

    def _labels(self, selection: Selection) -> Frozen:
        """Freeze labelled traffic, and leave what it set aside where a person can look at it."""
        parent = Datasets(self.bucket).load(self._dataset_of(Live(selection.model, selection.version)))
        feedback = self.feedback.within(selection.model, *selection.window_ms)
        frozen = freeze_traffic(selection, parent, feedback, Traffic(self.bucket), self._rules(selection.model))
        Quarantine(self.bucket, selection.model).replace(selection.version, frozen.quarantined)
        return frozen

    def _comparisons(self, selection: Selection) -> Frozen:
        """Freeze what people have compared, after what the last reward model has learned from."""
        feedback = self.feedback.within(selection.model, *selection.window_ms)
        known, rules = gold_in(self.bucket, selection.model, self.policy), self._rules(selection.model)
        parent = self._pairs_before(Live(selection.model, selection.version))
        frozen = freeze_comparisons(selection, parent, feedback, Traffic(self.bucket), rules, known)
        Quarantine(self.bucket, selection.model).replace(selection.version, frozen.quarantined)
        return frozen

    def _pairs_before(self, live: Live) -> PairDataset | None:
        """The newest dataset that the reward model or the model itself was made of; None where there is none here."""
        for digest in self._compared_before(live):
            try:
                return Datasets(self.bucket).load_pairs(digest)
            except (NotFound, InvalidDataset):
                continue
        return None

    def _compared_before(self, live: Live) -> list[str]:
        """The datasets of comparisons that the reward model and the model itself were made of, newest first."""
        versions = [live, *([judge] if (judge := self.judge(live.model)) else [])]
        manifests = [self.registry.manifest(each.model, each.version) for each in versions]
        newest_first = sorted(manifests, key=lambda each: each.created_at, reverse=True)
        return [each.lineage.dataset for each in newest_first if each.lineage.recipe in (REWARD, ALIGN)]

    def _dataset_of(self, live: Live) -> str:
        return self.registry.manifest(live.model, live.version).lineage.dataset

    def _rules(self, model: str) -> Rules:
        restored = Quarantine(self.bucket, model).restored()
        return Rules(trust_in(self.bucket, model), restored, Tombstones.of(self.bucket))


def _reasons(frozen: Frozen) -> str:
    """How many texts and pieces of feedback were left out, by reason."""
    counts = sorted(frozen.dataset.lineage["left_out"].items())
    return ", ".join(f"{count} {reason}" for reason, count in counts if count) or "no feedback"
