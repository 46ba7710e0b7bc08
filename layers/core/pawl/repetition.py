"""What raters say more than once of one item: the same again, something else, or now this and now that."""

from collections.abc import Iterator, Sequence

import numpy as np

from pawl.raters import Codes
from pawl.suspicion import Evidence, Finding, Flags, Policy, binomial_survival
from pawl.votes import Votes


def repeats(votes: Votes, is_kept: Flags, policy: Policy) -> Iterator[Finding]:
    """Votes of a rater on an item that they have voted on again later: the last word counts, as in the table.

    A rater who contradicts themselves on more of these items than `unsteady`, beyond chance, has no last word: all
    their votes on them are a contradiction. Scores contradict each other when more than half of the scale apart. A
    vote of unknown time comes after all others, and among equals the id decides.
    """
    order, starts = _by_person_and_item(votes, is_kept)
    sizes = np.diff(np.append(starts, order.size))
    unsteady = dict[int, list[tuple[Codes, bool]]]()
    for start, size in zip(starts[sizes > 1].tolist(), sizes[sizes > 1].tolist(), strict=True):
        group = order[start : start + size]
        unsteady.setdefault(int(votes.raters[group[0]]), []).append((group, _contradicts(votes, group)))
    for rater, groups in sorted(unsteady.items()):
        yield from _unsteady_rater(votes, votes.rater_names[rater], groups, policy)


def _by_person_and_item(votes: Votes, is_kept: Flags) -> tuple[Codes, Codes]:
    """Indices of the votes kept by rater, item and time, and where each rater's votes on one item start."""
    kept = np.flatnonzero(is_kept)
    order = kept[np.lexsort((kept, votes.at[kept], votes.items[kept], votes.raters[kept]))]
    keys = votes.raters[order] * len(votes.item_names) + votes.items[order]
    return order, np.flatnonzero(np.diff(keys, prepend=-1))


def _contradicts(votes: Votes, group: Codes) -> bool:
    values = votes.values[group]
    return bool(np.ptp(values) > votes.span / 2) if votes.kind == "score" else np.unique(values).size > 1


def _unsteady_rater(votes: Votes, name: str, groups: Sequence[tuple[Codes, bool]], policy: Policy) -> Iterator[Finding]:
    changed, asked = sum(is_changed for _, is_changed in groups), len(groups)
    if changed and binomial_survival(changed, asked, policy.unsteady) < policy.risk / len(votes.rater_names):
        words = f"rater {name} contradicts themselves on {changed} of the {asked} items they were asked again"
        everything = np.sort(np.concatenate([group for group, is_changed in groups if is_changed]))
        yield Finding(everything, "contradiction", Evidence(words, changed / asked, policy.unsteady, (name,)))
        groups = [(group, is_changed) for group, is_changed in groups if not is_changed]
    for group, _ in groups:
        last, value = group[-1], votes.values[group[-1]]
        same, other = (
            group[:-1][is_it] for is_it in (votes.values[group[:-1]] == value, votes.values[group[:-1]] != value)
        )
        if same.size:
            words = f"rater {name} says the same of this item again in vote {votes.ids[last]}, which counts"
            yield Finding(np.sort(same), "duplicate", Evidence(words, float(group.size), 1.0, (name,)))
        if other.size:
            words = f"rater {name} says something else of this item later, in vote {votes.ids[last]}, which counts"
            yield Finding(np.sort(other), "superseded", Evidence(words, float(group.size), 1.0, (name,)))
