"""The model card: what the hub reads at its head, and what people read below."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import ModelCard

from pawl.bundle import Lineage
from pawl.dataset import FrozenDataset, Row, freeze
from training import footprint as footprints
from training import sections
from training.card import write_card
from training.footprint import Footprint, of_accelerator, of_cores

SPENT = {"device": "Tesla T4", "seconds": 900.0, "watts": 70, "kwh": 0.0175, "grams_co2": 7.0, "usd": 0.1315}
SCORE: dict[str, Any] = {
    "rows": 150,
    "accuracy": 0.92,
    "macro_f1": 0.9123,
    "log_loss": 0.25,
    "expected_calibration_error": 0.03,
    "slices": {"channel": {"app": {"rows": 50, "accuracy": 0.9}, "voice": {"rows": 100, "accuracy": 0.93}}},
    "fairness": {
        "channel": {
            "groups": ["app", "voice"],
            "accuracy_difference": 0.03,
            "demographic_parity_difference": None,
            "equalized_odds_difference": 0.1,
        }
    },
    "reliability": [[10, 0.55, 0.6], [140, 0.97, 0.943]],
}


@pytest.fixture
def dataset() -> FrozenDataset:
    rows = [Row(f"text {n}", ("billing", "outage")[n % 2]) for n in range(20)]
    return freeze("triage", {"train": rows[:10], "holdout": rows[10:]}, {})


@pytest.fixture
def card(tmp_path: Path, dataset: FrozenDataset) -> Callable[..., str]:
    """Writes the card of a small classifier with these metrics beside what every one has."""

    def write(**metrics: Any) -> str:
        about = {
            "name": "triage",
            "version": "3",
            "labels": ["billing", "outage"],
            "max_tokens": 128,
            "lineage": Lineage(
                "run-1", dataset.digest, None, "sentence-transformers/all-MiniLM-L6-v2", "apache-2.0", "c"
            ),
        }
        latency = {"tokens": 32, "float_ms": 16.0, "int8_ms": 4.0}
        whole = {"float": {"holdout": SCORE}, "int8": {"holdout": SCORE}, "latency": latency, "bytes_ratio": 0.25}
        write_card(tmp_path / "card.md", about, {**whole, **metrics}, dataset)
        return (tmp_path / "card.md").read_text()

    return write


def test_the_hub_reads_its_metadata(card: Callable[..., str]) -> None:
    read = ModelCard(card(footprint=SPENT))

    assert (read.data.license, read.data.pipeline_tag) == ("apache-2.0", "text-classification")
    assert read.data.base_model == "sentence-transformers/all-MiniLM-L6-v2"
    assert read.data.model_name == "triage"
    assert [(each.metric_type, each.metric_value, each.dataset_name) for each in read.data.eval_results] == [
        ("accuracy", 0.92, "holdout"),
        ("f1", 0.9123, "holdout"),
    ]
    assert read.data.to_dict()["co2_eq_emissions"] == {
        "emissions": 7.0,
        "source": "estimated from 900 s at 70 W and 400 g a kWh",
        "training_type": "fine-tuning",
        "hardware_used": "Tesla T4",
    }


def test_names_that_yaml_would_read_otherwise_are_quoted(card: Callable[..., str]) -> None:
    text = card(footprint={**SPENT, "device": 'yes: "no" #1'})

    assert yaml.safe_load(text.split("---")[1])["co2_eq_emissions"]["hardware_used"] == 'yes: "no" #1'


def test_people_read_what_it_is_for_how_good_it_is_and_what_is_not_known(card: Callable[..., str]) -> None:
    text = card(
        footprint=SPENT,
        robustness={"typos": {"rows": 100, "before": 0.92, "accuracy": 0.81}},
        compression=[
            {"name": "int8", "bytes": 23_000_000, "latency_ms": 4.0, "quality": 0.92, "chosen": True},
            {"name": "float", "bytes": 90_000_000, "latency_ms": 16.0, "quality": 0.925, "chosen": False},
        ],
    )

    titles = [line.removeprefix("## ") for line in text.split("\n") if line.startswith("## ")]
    assert titles == [
        "Data",
        "Results",
        "Accuracy by slice, as served",
        "Fairness, as served",
        "Calibration, as served",
        "Robustness, as served",
        "Compression",
        "Limits",
        "Security",
        "Lineage",
        "Energy and cost",
    ]
    assert "It is meant for texts like those it was trained on" in text
    assert "| holdout | int8, as served | 150 | 92.0% (86.5% to 95.4%) | 0.912 | 0.030 |" in text
    assert "| holdout | channel | app | 50 | 90.0% (78.6% to 95.7%) |" in text
    assert "| holdout | channel | app, voice | 0.030 | unknown | 0.100 |" in text
    assert "| holdout | 10 | 55.0% | 60.0% (31.3% to 83.2%) |" in text
    assert "| typos | 100 | 92.0% (85.0% to 95.9%) | 81.0% (72.2% to 87.5%) |" in text
    assert "| int8 (served) | 23.0 | 4.00 | 0.9200 |" in text
    assert "The run took 900 s on Tesla T4. At 70 W, assumed and not metered, that is 0.0175 kWh" in text


def test_what_was_not_measured_has_no_section(card: Callable[..., str]) -> None:
    text = card()

    assert "## Robustness" not in text
    assert "## Compression" not in text
    assert "## Energy" not in text
    assert "co2" not in text


def test_an_accelerator_is_known_by_its_name() -> None:
    assert of_accelerator("Tesla T4", 3600) == Footprint("Tesla T4", 3600.0, 70, 0.07, 28.0, 0.526)
    assert of_accelerator("NVIDIA A100-SXM4-40GB", 3600).watts == 400
    assert of_accelerator("NVIDIA A10G", 3600).usd == 1.006
    assert of_accelerator("NVIDIA H100 80GB HBM3", 3600).usd is None


def test_an_unknown_accelerator_is_assumed_to_draw_much_and_has_no_price() -> None:
    assert of_accelerator("Something New", 3600) == Footprint("Something New", 3600.0, 300, 0.3, 120.0, None)
    told = sections.resources(vars_of(of_accelerator("Something New", 3600)))
    assert "no price is known for it" in told


def vars_of(spent: Footprint) -> dict[str, Any]:
    return {name: getattr(spent, name) for name in Footprint.__dataclass_fields__}


def test_cores_of_a_cpu_draw_and_cost_by_their_number() -> None:
    assert of_cores(4, 1800) == Footprint("4 CPU cores", 1800.0, 40, 0.02, 8.0, 0.081)
    assert footprints.footprint(10).seconds == 10.0
