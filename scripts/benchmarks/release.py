"""The canary by simulation: how often a worse candidate is promoted, an equal or better one held, and after how much.

Every seed is one canary, under the default policy or PATIENT, decided after each batch. Both arms swing by DRIFT in
the drifting scenarios. A fixed-horizon test is the one-sided z-test of two proportions, half the answers to each arm,
of level alpha for a candidate worse by the margin and power 90 % for an equal one (Fleiss, Levin, Paik 2003). The 300
answers of a month at 10 a day cannot tell an equal candidate from one worse by the margin: there a person decides, or
PATIENT lets the canary take its time.
"""

import math
from dataclasses import asdict, dataclass, replace
from statistics import NormalDist

import numpy as np

from benchmarks import rollback, tampering, unlike
from benchmarks.figures import Figure, Findings
from pawl.sequential import Comparison
from release.canary import CanaryState, decide_canary
from release.canary import Figure as Judged
from release.incident import WANTED_S
from release.terms import CanaryPolicy
from release.trial import AGREEMENT, ANSWERED, FAMILIARITY, SPEED

SEEDS = 1000
LIVE, MARGIN, POWER, DRIFT = 0.8, 0.05, 0.9, 0.15
POLICY = CanaryPolicy()
PATIENT = replace(POLICY, longest_hours=24 * 800)
"""The default policy, but for the time that a canary may take: as long as 10 answers a day need for an opinion."""
# What a deployment's canary is guarded by besides; it shares the risk of a false alarm, and is at rest here.
GUARDS = [
    Judged(name, Comparison.start(MARGIN), must_prove=False) for name in (ANSWERED, SPEED, AGREEMENT, FAMILIARITY)
]


@dataclass(frozen=True, slots=True)
class Scenario:
    """Answers with feedback: so many a batch, a batch so often; the candidate's rate less live's; who decides how."""

    name: str
    difference: float
    rows: int
    hours: float
    drift: float = 0.0
    policy: CanaryPolicy = POLICY


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of the seeds: shares, and answers of both arms until the verdict, on average."""

    scenario: Scenario
    promoted: float
    rolled_back: float
    asked: float
    answers: float


# At 1,000 requests a second one in sixty is rated, 10,000 answers in ten minutes; elsewhere every answer is.
BUSY, SLOW, FEW = (10_000, 1 / 6), (10, 24.0), "10 a day"
SCENARIOS = (
    *(Scenario("1,000 a second", difference, *BUSY) for difference in (-0.2, -0.05, -0.02, 0.0, 0.05)),
    *(Scenario("1,000 a second, drifting", difference, *BUSY, DRIFT) for difference in (-0.05, 0.0)),
    *(Scenario("1,000 a day", difference, 40, 1.0) for difference in (-0.2, -0.05, -0.02, 0.0, 0.05)),
    *(Scenario("1,000 a day, drifting", difference, 40, 1.0, DRIFT) for difference in (-0.05, 0.0)),
    *(Scenario(FEW, difference, *SLOW) for difference in (-0.3, -0.15, -0.1, -0.05, 0.0, 0.05)),
    *(Scenario(f"{FEW}, patiently", difference, *SLOW, policy=PATIENT) for difference in (-0.15, -0.05, 0.0, 0.05)),
)


def measure(seeds: int = SEEDS) -> Findings:
    """The rates over all scenarios, the worst of each kind, and the table."""
    found = [simulate(scenario, seeds) for scenario in SCENARIOS]
    worse = [each.promoted for each in found if each.scenario.difference <= -MARGIN]
    better = [each for each in found if each.scenario.difference >= 0]
    few = [each for each in better if each.scenario.name == FEW]
    compared = [each.answers for each in found if each.scenario.name == "1,000 a day"]
    apart = unlike.measure()
    figures = [
        Figure("worse_promoted", max(worse), "", "worst scenario of candidates worse by the margin", 0.05),
        Figure(
            "better_held",
            max(1 - each.promoted for each in better if each not in few),
            "",
            "worst scenario of equal or better candidates, but for a month at 10 answers a day",
            0.10,
        ),
        Figure(
            "better_taken_back", max(each.rolled_back for each in better), "", "worst scenario of the same, all", 0.05
        ),
        Figure(
            "few_asked",
            max(each.asked for each in few),
            "",
            "of equal or better ones after a month at 10 answers a day, a person",
        ),
        Figure("mean_answers_to_verdict", sum(compared) / len(compared), "", "1,000 a day, mean of its scenarios"),
        Figure(
            "tampered_refused",
            tampering.refused(),
            "",
            "signed bundles with one byte changed at random",
            tampering.CHANGES,
            "higher",
        ),
        Figure(
            "rollback_seconds",
            rollback.slowest(),
            "s",
            f"slowest of {rollback.TIMES} from the verdict to the alias restored; AWS in process, its latency aside",
            WANTED_S,
        ),
        Figure(
            "alike_taken_back", apart[0].taken_back, "", "by drift alone, of candidates with data like live's", 0.05
        ),
        Figure("unlike_taken_back", apart[-1].taken_back, "", "the same of data two deviations apart", 1.0, "higher"),
        Figure("fixed_horizon_answers", fixed_horizon(MARGIN), "", "z-test, level 5 %, power 90 %, half to each arm"),
    ]
    more = {"release": [asdict(each) for each in found], "unlike": [asdict(each) for each in apart]}
    return Findings(figures, [table(found), unlike.table(apart)], more)


def fixed_horizon(margin: float, alpha: float = POLICY.alpha) -> int:
    """Answers of both arms together that the z-test needs to tell an equal candidate from one worse by the margin."""
    quantile = NormalDist().inv_cdf
    spread = quantile(1 - alpha) + quantile(POWER)
    return 2 * math.ceil(2 * LIVE * (1 - LIVE) * (spread / margin) ** 2)


def simulate(scenario: Scenario, seeds: int) -> Outcome:
    """All seeds of a scenario at once; a seed that has its verdict takes no further answers."""
    generator = np.random.default_rng(11)
    comparison, steps, began = Comparison.start(MARGIN, shape=(seeds,)), np.zeros(seeds, int), np.zeros(seeds)
    actions, answers, hours = np.full(seeds, "hold", object), np.zeros(seeds), 0.0
    open_seeds = np.arange(seeds)
    while open_seeds.size:
        hours += scenario.hours
        drawn = _batch(scenario, generator, np.array(scenario.policy.weights)[steps[open_seeds]], hours)
        comparison = comparison.update(drawn)
        for at, seed in enumerate(open_seeds):
            judged = [Judged("feedback", one(comparison, at)), *GUARDS]
            state = CanaryState(judged, int(steps[seed]), 0, int(began[seed]))
            actions[seed] = decide_canary(state, scenario.policy, round(hours * 3_600_000)).action
        moved = actions[open_seeds] == "next_step"
        steps[open_seeds[moved]] += 1
        began[open_seeds[moved]] = round(hours * 3_600_000)
        answers[open_seeds] += scenario.rows
        stays = np.isin(actions[open_seeds], ("hold", "next_step"))
        comparison, open_seeds = one(comparison, stays), open_seeds[stays]
    shares = {name: float((actions == name).mean()) for name in ("promote", "roll_back", "ask")}
    return Outcome(scenario, shares["promote"], shares["roll_back"], shares["ask"], float(answers.mean()))


def one(comparison: Comparison, at: object) -> Comparison:
    """Some of many comparisons."""
    arrays = {name: value[at] for name, value in _fields(comparison).items() if isinstance(value, np.ndarray)}
    return Comparison(comparison.margin, comparison.tolerance, **arrays)


def table(found: list[Outcome]) -> str:
    """The outcomes as text."""
    lines = [f"  {'traffic':<26}{'difference':>11}{'promoted':>10}{'rolled back':>13}{'asked':>8}{'answers':>10}"]
    for each in found:
        rates = f"{each.promoted:>10.1%}{each.rolled_back:>13.1%}{each.asked:>8.1%}{each.answers:>10,.0f}"
        lines.append(f"  {each.scenario.name:<26}{each.scenario.difference:>+11.2f}{rates}")
    return "\n".join(lines)


def _fields(comparison: Comparison) -> dict[str, np.ndarray]:
    return {name: getattr(comparison, name) for name in comparison.__dataclass_fields__}


def _batch(scenario: Scenario, generator: np.random.Generator, weights: np.ndarray, hours: float) -> np.ndarray:
    base = LIVE - scenario.drift * (1 + math.sin(hours / 4)) / 2
    new = generator.binomial(scenario.rows, weights)
    old = scenario.rows - new
    hits, old_hits = generator.binomial(new, base + scenario.difference), generator.binomial(old, base)
    return np.stack([np.stack([new, hits, hits], -1), np.stack([old, old_hits, old_hits], -1)], -2)
