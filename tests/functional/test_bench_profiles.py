"""The benchmark of profiles, on so few rows that its figures mean nothing: it runs, and tells what it should."""

import pytest

from benchmarks import profiles


def test_every_figure_is_measured_and_what_does_not_depend_on_the_machine_is_kept() -> None:
    figures = {figure.key: figure for figure in profiles.measure(rows=20_000, columns=10, collected=300)}

    assert {
        "update_values_per_s",
        "update_f32_values_per_s",
        "float_values_per_s",
        "ks_error",
        "check_seconds_10_columns",
        "check_peak_mb",
        "collect_rows_per_s",
        "collect_peak_mb",
        "collect_growth_mb",
        "collect_s3_usd_a_million",
        "collect_s3_usd_a_million_month",
    } <= set(figures)
    assert figures["ks_error"].value < 0.002
    assert figures["collect_s3_usd_a_million"].value == pytest.approx(0.1)
    assert figures["collect_ledger_usd_a_million"].value == pytest.approx(0.625)
    assert figures["collect_10m_core_hours"].meaning == "of 10,000,000 rows, extrapolated from 300"
    assert figures["check_peak_mb"].is_within
    assert figures["profile_bytes_a_column"].value < 10_000
