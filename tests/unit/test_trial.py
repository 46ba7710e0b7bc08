import json
from dataclasses import replace

import pytest

from pawl.errors import InvalidRecord
from pawl.items import from_item, to_item
from release.canary import Verdict
from release.evidence import add, score_answers, windows
from release.trial import AGREEMENT, FEEDBACK, Trial, begin_trial, judge

HOUR = 3_600_000
TERMS = json.dumps({"weights": [0.1, 0.5], "step_hours": 1})
BEGUN = begin_trial(("triage", "3"), ("7", "layer-3"), ("2", "6"), TERMS, 1_000)
SCALES = {"thumbs_up": (0.0, 1.0), "rating": (1.0, 5.0), "label": (0.0, 1.0), "complaints": (4.0, 0.0)}


def said(answer: int, metric: str, value: object, version: str = "3", given_at: str = "1970-01-01T00:00:00.001Z"):  # type: ignore[no-untyped-def]
    sk = f"{0:012x}{answer:020x}#{metric}#ada"
    return {"sk": sk, "metric": metric, "value": value, "model_version": version, "given_at": given_at}


def test_a_trial_survives_the_table() -> None:
    trial = add(BEGUN, FEEDBACK, [[1.0, 0.0, 0.25], [1.0]]).shifted(0.5, 2_000).noted("next step", "no harm", 2_000)
    trial = replace(trial, labels={"other": (3, 4)})

    kept = Trial.from_item(from_item(to_item(trial.to_item())))

    assert (kept.notes, kept.labels, kept.shifts_ms, kept.weight) == (trial.notes, {"other": (3, 4)}, (2_000,), 0.5)
    assert kept.to_item() == trial.to_item()


def test_a_trial_of_another_schema_is_refused() -> None:
    with pytest.raises(InvalidRecord, match="schema 9"):
        Trial.from_item({**BEGUN.to_item(), "schema": 9})


def test_a_step_begins_anew_and_only_the_first_one_after_a_shadow_forgets_what_was_counted_up_to() -> None:
    second = BEGUN.stepped(BEGUN.policy, 5_000)
    shadow = begin_trial(("triage", "3"), ("7", "layer-3"), ("2", "6"), '{"shadow": true}', 1_000)
    first = shadow.stepped(shadow.policy, 5_000)

    assert (second.step, second.weight, second.step_began_ms, second.until_ms["feedback"]) == (1, 0.5, 5_000, 1_000)
    assert (first.step, first.phase, first.weight, first.began_ms) == (0, "step", 0.05, 5_000)
    assert set(first.until_ms.values()) == {5_000}


def test_no_window_lies_across_a_change_of_shares() -> None:
    trial = BEGUN.shifted(0.5, 3_000).shifted(0.9, 9_000)

    assert list(windows(trial, "feedback", 5_000)) == [(1_000, 3_000), (3_000, 5_000)]
    assert list(windows(trial, "feedback", 1_000)) == []


def test_a_source_of_whole_minutes_counts_each_of_them_once_those_of_a_change_to_what_was_before() -> None:
    trial = replace(BEGUN.shifted(0.5, 150_000).shifted(0.9, 170_000).shifted(0.95, 240_000), until_ms={"failures": 1})

    assert list(windows(trial, "failures", 300_000, 60_000)) == [
        (60_000, 180_000),
        (180_000, 240_000),
        (240_000, 300_000),
    ]


def test_once_a_person_was_asked_nothing_but_harm_decides() -> None:
    many = add(BEGUN, FEEDBACK, [[1.0] * 4_000, [1.0] * 4_000])
    asking = replace(many, phase="asking", step=1, because="time is up")
    harmful = add(asking, FEEDBACK, [[0.0] * 100, [1.0] * 100])

    assert judge(replace(many, step=1), BEGUN.policy, 2 * HOUR).action == "promote"
    assert judge(asking, BEGUN.policy, 2 * HOUR) == Verdict("hold", "time is up")
    assert judge(harmful, BEGUN.policy, 2 * HOUR).action == "roll_back"


def test_an_answer_s_score_is_the_mean_of_what_was_said_of_it_on_the_metrics_scales() -> None:
    pieces = [
        said(1, "thumbs_up", True),
        said(1, "rating", 2),
        said(2, "complaints", 1),
        said(3, "comment", "nice"),
        said(4, "label", ["a", "b"], "2"),
        said(5, "rating", 9, "2"),
    ]

    scores = score_answers(pieces, {f"{4:032x}": {"label": ["a", "c"]}}, SCALES, 1_000)

    assert scores == {"2": [0.5, 1.0], "3": [0.625, 0.75]}


def test_a_label_without_its_answer_and_a_word_that_came_late_count_for_nothing() -> None:
    late = said(2, "thumbs_up", True, given_at="1970-01-01T00:00:01.000Z")

    assert score_answers([said(1, "label", ["a"]), late], {}, SCALES, 1_000) == {}


def test_figures_are_shown_where_there_are_any() -> None:
    shown = add(BEGUN, AGREEMENT, [[1.0, 1.0, 1.0], [1.0, 0.0, 1.0]]).figures()

    assert list(shown) == [AGREEMENT]
    assert (shown[AGREEMENT]["answers"], shown[AGREEMENT]["difference"]) == ([3, 3], 0.3333)
