"""The gates of text generators: their answers must not be less preferred than the live version's.

The job has let both answer every held-out prompt, as they are served, and the judge compare them: its win rate lies in
the signed manifest and is the proof. A function cannot repeat all of that, some tokens a second, but it can contradict:
it lets both answer a few of the prompts anew, asks the released judge itself, and refuses what is surely worse. The
judge is none that the job may choose: it is one that was released to judge this model. Where none ever was, as after
thumbs alone, both are asked how likely they find held-out answers that people called good and bad.
"""

import statistics
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

from pawl.bucket import Bucket
from pawl.bundle import Manifest
from pawl.errors import InvalidBundle, InvalidRequest, NotFound
from pawl.examples import Prompt
from pawl.generator import TextGenerator
from pawl.likelihood import opposed, preferred, prompt_ids
from pawl.pairset import PairRow, judge_of
from pawl.reward import RewardModel, stored_judge
from pawl.sampling import Sampling
from pawl.winning import WinRate, win_rate
from release.gate import Case, Gate, rounded, spoken
from release.heldout import comparisons, held_rows, prompt_leak_gate, prompts_of
from release.policy import GatePolicy
from release.speed import cold_start_gate

HALF = 0.5
UNJUDGED = "pairs_preferred"
"""What a job proves without a judge: how often the better one of two held-out answers became likelier."""
_STEADY_TOKENS = 8


class Answered(NamedTuple):
    """What both said to the same prompts, and how many seconds a token took each."""

    prompts: list[Prompt]
    new: list[str]
    old: list[str]
    new_s: float
    old_s: float


def judge(case: Case) -> list[Gate]:
    """Every gate of a text generator."""
    candidate, live, policy = case.candidate.manifest, case.live.manifest, case.policy
    dataset = comparisons(case.bucket, candidate)
    rows = held_rows(dataset, policy)
    told = answer_both(case, prompts_of(rows, policy.win_prompts))
    if is_unjudged(case.bucket, candidate):
        proof, again = UNJUDGED, preferred_again(case, rows)
    else:
        proof, again = "win_rate", judged_again(case, told)
    return [
        context_gate(candidate, live),
        prompt_leak_gate(dataset, rows),
        proof_gate(candidate.metrics, policy, proof),
        recheck_gate(again, policy),
        steadiness_gate(cast("TextGenerator", case.candidate.model), told),
        pace_gate(told, policy),
        cold_start_gate(case.candidate, case.live, {"text": ["."]}, policy),
    ]


def context_gate(candidate: Manifest, live: Manifest) -> Gate:
    """Whoever asks the live version can ask the candidate as much."""
    new, old = candidate.max_tokens, live.max_tokens
    return Gate("context", new >= old, f"{new} tokens", f"at least the live version's {old}", float(new), float(old))


def is_unjudged(bucket: Bucket, candidate: Manifest) -> bool:
    """Whether no reward model was ever released that could have judged a candidate, and it names none."""
    named = candidate.metrics.get("alignment", {}).get("reward", "")
    return named == "implicit margin" and not any(bucket.keys(f"models/{judge_of(candidate.name)}/"))


def judged_again(case: Case, told: Answered) -> WinRate:
    """How often the released judge prefers what the candidate has just answered."""
    with tempfile.TemporaryDirectory() as folder:
        arbiter = released_judge(case.bucket, case.candidate.manifest, Path(folder))
        new, old = (arbiter.rewards(told.prompts, texts).tolist() for texts in (told.new, told.old))
    return win_rate(new, old, case.policy.confidence)


def preferred_again(case: Case, rows: Sequence[PairRow]) -> WinRate:
    """How often the candidate has come to find the better one of two held-out answers likelier, some of them anew.

    NotFound when the rows hold no answer that is better than another.
    """
    told = opposed(rows)[: case.policy.win_prompts]
    if not told:
        raise NotFound("no held-out answer is told to be better than another")
    return preferred(case.candidate.bundle, case.live.bundle, told, case.policy.win_tokens)


def proof_gate(metrics: Mapping[str, Any], policy: GatePolicy, proof: str = "win_rate") -> Gate:
    """The job's own win rate over the live version, whose lower end is not below a half by more than a margin."""
    least = HALF - policy.win_margin
    wanted = f"a lower end of at least {least:.4f}"
    try:
        proved = WinRate(**metrics["served"][proof])
        against = str(metrics["served"]["against"])
    except (KeyError, TypeError):
        return Gate("win rate", False, "the manifest holds none", wanted)
    count = proved.wins + proved.losses + proved.ties
    return Gate(
        "win rate",
        proved.low >= least,
        f"{proved.rate:.4f}, from {proved.low:.4f} to {proved.high:.4f}, over {count} answers",
        wanted,
        rounded(proved.low),
        rounded(least),
        {"rate": proved.rate, "interval": spoken((proved.low, proved.high)), "answers": count, "against": against},
    )


def recheck_gate(measured: WinRate, policy: GatePolicy) -> Gate:
    """Answers that were given here and now do not say that the candidate is surely less preferred."""
    least, count = HALF - policy.win_margin, measured.wins + measured.losses + measured.ties
    return Gate(
        "win rate again",
        measured.high >= least,
        f"{measured.rate:.4f}, from {measured.low:.4f} to {measured.high:.4f}, over {count} answers",
        f"not surely below {least:.4f}",
        rounded(measured.rate),
        rounded(least),
        {"interval": spoken((measured.low, measured.high)), "answers": count, "ties": measured.ties},
    )


def steadiness_gate(model: TextGenerator, told: Answered) -> Gate:
    """The likeliest text is the same twice, token by token."""
    ids, sampling = prompt_ids(model, told.prompts[0]), Sampling(max_tokens=_STEADY_TOKENS, temperature=0.0, seed=0)
    first, second = (model.generate(ids, sampling) for _ in range(2))
    is_same = [each.data for each in first.tokens] == [each.data for each in second.tokens]
    measured = f"{'the same' if is_same else 'not the same'} {first.token_count} tokens"
    return Gate("determinism", is_same, measured, "the same text twice")


def pace_gate(told: Answered, policy: GatePolicy) -> Gate:
    """About as fast as the live version, a token; both were timed in turn on the same prompts."""
    new, old = told.new_s * 1000, told.old_s * 1000
    return Gate(
        "latency",
        new <= old * policy.latency_ratio,
        f"{new:.2f} ms a token",
        f"at most {policy.latency_ratio} x the live version's {old:.2f} ms",
        rounded(new),
        rounded(old * policy.latency_ratio),
        {"prompts": len(told.prompts), "live": rounded(old)},
    )


def answer_both(case: Case, prompts: Sequence[Prompt]) -> Answered:
    """Let both answer in turn, with the same seeds, until the policy's time is over; at least one prompt.

    NotFound when no prompt leaves room for an answer.
    """
    models = [cast("TextGenerator", each.model) for each in (case.candidate, case.live)]
    until = case.clock() + case.policy.budget_s
    asked, texts, paces = list[Prompt](), (list[str](), list[str]()), (list[float](), list[float]())
    for place, prompt in enumerate(prompts):
        if asked and case.clock() > until:
            break
        sampling = Sampling(max_tokens=case.policy.win_tokens, temperature=case.policy.win_temperature, seed=place)
        try:
            ids = [prompt_ids(model, prompt) for model in models]
            for model, tokens, said, pace in zip(models, ids, texts, paces, strict=True):
                began = case.clock()
                done = model.generate(tokens, sampling)
                pace.append((case.clock() - began) / max(1, done.token_count))
                said.append(done.text)
        except InvalidRequest:  # too long for one of them: none of it is compared
            for said, pace in zip(texts, paces, strict=True):
                del said[len(asked) :], pace[len(asked) :]
            continue
        asked.append(prompt)
    if not asked:
        raise NotFound("no held-out prompt leaves room for an answer within the model's context")
    return Answered(asked, *texts, *(statistics.median(pace) for pace in paces))


def released_judge(bucket: Bucket, candidate: Manifest, folder: Path) -> RewardModel:
    """The released reward model that the candidate names; NotFound when it names none of this model's."""
    named = str(candidate.metrics.get("alignment", {}).get("reward", ""))
    name, _, version = named.removeprefix("models:/").partition("/")
    if name != judge_of(candidate.name) or not version.isdigit():
        raise NotFound(f"the candidate names no reward model of {candidate.name} that it was judged by")
    try:
        return stored_judge(bucket, name, version, folder)
    except InvalidBundle as error:
        raise NotFound(f"reward model {name} {version} cannot be opened: {error}") from error
