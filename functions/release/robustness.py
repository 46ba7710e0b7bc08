"""How much a model loses to typos, other words and adversaries: the candidate's loss against the live version's.

Both are shown the same changed texts. Attacks are made against each by itself, with the same budget of questions: an
attacker would not spare the one by aiming at the other.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from pawl.attack import attack_text
from pawl.dataset import Row
from pawl.intervals import bootstrap_mean, standard_error
from pawl.model import Model
from pawl.perturbation import RULES, perturbed
from release.answers import Answers, Both, Floats, places_of, scoring
from release.gate import Clock, Gate, rounded, spoken
from release.policy import GatePolicy
from release.quality import too_few


def perturbation_gate(both: Both, candidate: Model, live: Model, policy: GatePolicy) -> Gate:
    """Accuracy lost when texts are misspelled, reworded, framed and the like is about the live version's loss."""
    places = places_of(both.rows, policy.perturbed_rows)
    if not places:
        return too_few("perturbations", 0, 1)
    changed = [(place, rule, text) for place in places for rule, text in _changes(both.rows[place].text, policy.seed)]
    rows = [Row(text, both.rows[place].label) for place, _, text in changed]
    new, old = Answers.of(candidate, rows).right, Answers.of(live, rows).right
    clean = np.array([place for place, _, _ in changed], int)
    lost = both.new.right[clean].astype(float) - new
    lost_live = both.old.right[clean].astype(float) - old
    kinds = Counter(rule for _, rule, _ in changed)
    by_rule = {
        rule: [kinds[rule], rounded(new[here].mean()), rounded(old[here].mean())]
        for rule in kinds
        if (here := np.array([each == rule for _, each, _ in changed])).any()
    }
    clusters = [places.index(place) for place, _, _ in changed]
    about = {"texts": len(places), "answers": len(changed), "by_rule": by_rule}
    return loss_gate("perturbations", lost, lost_live, clusters, policy.perturbed_margin, policy, about)


def attack_gate(both: Both, candidate: Model, live: Model, policy: GatePolicy, clock: Clock, until: float) -> Gate:
    """Accuracy lost to an attacker with a budget of questions is about the live version's loss."""
    places = places_of(both.rows, policy.attacked_rows)
    asked: list[tuple[float, float, int]] = []
    for place in places:
        if asked and clock() > until:
            break
        text = both.rows[place].text
        new, old = (
            loss_under_attack(answers, place, partial(_attack, model, text, policy))
            for model, answers in ((candidate, both.new), (live, both.old))
        )
        asked.append((new[0], old[0], new[1] + old[1]))
    if not asked:
        return too_few("attack", 0, 1)
    lost, lost_live, queries = np.array(asked).T
    about = {"texts": len(asked), "queries": int(queries.sum()), "chosen": len(places)}
    return loss_gate("attack", lost, lost_live, range(len(asked)), policy.attack_margin, policy, about)


def loss_under_attack(answers: Answers, at: int, attack: Callable[[int], tuple[bool, int]]) -> tuple[float, int]:
    """1 where a right answer can be turned into a wrong one, else 0, and the questions that took.

    `attack` gets the code of the right answer, and says whether it got another and how often it asked.
    """
    if not answers.right[at]:
        return 0.0, 0
    is_fooled, queries = attack(int(answers.given[at]))
    return float(is_fooled), queries


def loss_gate(
    name: str,
    lost: Floats,
    lost_live: Floats,
    clusters: Sequence[int],
    margin: float,
    policy: GatePolicy,
    about: dict[str, Any],
) -> Gate:
    """The candidate's mean loss may exceed the live version's by a margin and one standard error of the difference."""
    more = lost - lost_live
    by_text = np.bincount(clusters, more) / np.bincount(clusters)
    error = standard_error(by_text)
    most = float(lost_live.mean()) + margin + error
    ends = bootstrap_mean(more, policy.resamples, policy.seed, policy.confidence, clusters)
    return Gate(
        name,
        round(float(lost.mean()), 9) <= round(most, 9),
        f"accuracy lost {lost.mean():.4f} on {about['texts']} texts",
        f"at most {most:.4f}: the live version's {lost_live.mean():.4f}, {margin} and {error:.4f} that may be chance",
        rounded(lost.mean()),
        rounded(most),
        {**about, "live": rounded(lost_live.mean()), "difference": rounded(more.mean()), "interval": spoken(ends)},
    )


def _attack(model: Model, text: str, policy: GatePolicy, true: int) -> tuple[bool, int]:
    done = attack_text(text, true, scoring(model), policy.attack_queries, policy.attack_share, policy.seed)
    return done.is_fooled, done.queries


def _changes(text: str, seed: int) -> list[tuple[str, str]]:
    """The text as each rule changes it, where it does."""
    found = [(rule, perturbed(text, rule, seed)) for rule in RULES]
    return [(rule, changed) for rule, changed in found if changed != text]
