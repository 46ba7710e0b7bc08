"""The benchmarks of profiles and capture: on so few rows figures mean nothing, but all that are due are there."""

import pytest

from benchmarks import capture, profiles


def test_every_figure_is_measured_and_what_does_not_depend_on_the_machine_is_kept() -> None:
    figures = {figure.key: figure for figure in profiles.measure(rows=20_000, columns=10)}

    assert {
        "update_values_per_s",
        "update_f32_values_per_s",
        "float_values_per_s",
        "ks_error",
        "check_seconds_10_columns",
        "check_peak_mb",
    } <= set(figures)
    assert figures["ks_error"].value < 0.002
    assert figures["check_peak_mb"].is_within
    assert figures["profile_bytes_a_column"].value < 10_000


def test_captured_rows_are_all_claimed_and_stored_and_few_are_no_more_than_a_sample() -> None:
    figures = {figure.key: figure for figure in capture.measure(300)}

    assert {"collect_rows_per_s", "collect_peak_mb", "collect_s3_usd_a_million_month"} <= set(figures)
    assert figures["collect_s3_usd_a_million"].value == pytest.approx(0.1)
    assert figures["collect_ledger_usd_a_million"].value == pytest.approx(0.625)
    assert figures["collect_10m_core_hours"].meaning == "of 10,000,000 rows, extrapolated from 300"
    assert figures["collect_growth_mb"].is_within
    # Twelve claims' calls and six PUTs, the canary's look and the reference's two reads.
    assert figures["collect_calls_a_row"].value * 300 < 24
