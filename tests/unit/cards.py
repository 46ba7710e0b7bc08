"""A version with everything that a card can tell, and one with as little as there may be."""

from typing import Any

HOSTILE = "<img src=x onerror=alert(1)>"


def manifest(**changes: Any) -> dict[str, Any]:
    """The manifest of a classifier, as JSON holds it."""
    score = {
        "rows": 150,
        "accuracy": 0.92,
        "slices": {
            "channel": {"app": {"rows": 42, "accuracy": 0.9048}, "voice": {"rows": 41, "accuracy": 0.9756}},
            "variety": {HOSTILE: {"rows": 43, "accuracy": 0.8837}},
        },
        "reliability": [[3, 0.35, 0.333], [9, 0.55, 0.667], [18, 0.85, 0.833], [120, 0.98, 0.967]],
    }
    points = [
        {"name": "float32", "bytes": 90_900_000, "latency_ms": 14.2, "quality": 0.927, "chosen": False},
        {"name": "int8", "bytes": 23_000_000, "latency_ms": 3.9, "quality": 0.92, "chosen": True},
        {"name": "int8, a layer less", "bytes": 21_200_000, "latency_ms": 3.3, "quality": 0.887, "chosen": False},
    ]
    whole: dict[str, Any] = {
        "name": "triage",
        "version": "2",
        "kind": "text-classifier",
        "created_at": "2026-07-14T09:00:00.000Z",
        "labels": ["billing", "outage", HOSTILE],
        "metrics": {
            "int8": {"holdout": score, "recent": {**score, "rows": 40, "slices": {}}},
            "compression": points,
            "footprint": {
                "device": "Tesla T4",
                "seconds": 412.0,
                "watts": 70,
                "kwh": 0.008011,
                "grams_co2": 3.2,
                "usd": 0.0602,
            },
        },
        "lineage": {
            "run": "run-7",
            "dataset": "5228d9296bf13d713b5ae6fff4118ad4bcdac08cd589bbcf3c59c3c7ddf02e8c",
            "parent": "models:/triage/1",
            "base_model": "sentence-transformers/all-MiniLM-L6-v2",
            "base_licence": "apache-2.0",
            "code": "0" * 40,
            "traffic_window": ["2026-06-01T00:00:00.000Z", "2026-07-01T00:00:00.000Z"],
            "feedback": 440,
            "recipe": "transfer",
        },
    }
    return {**whole, **changes}


def gates(refused: bool = False) -> list[dict[str, Any]]:
    """What the gates found, one of them against the version if it is to be refused."""
    gaps = [
        {"measure": "accuracy gap rise", "value": 0.071, "live": 0.118, "interval": [-0.1, 0.05], "limit": 0.05},
        {"measure": "equalized odds difference", "value": 0.2, "live": 0.17, "interval": [0.1, 0.3], "limit": 0.2},
    ]
    rules = {"typos": [100, 0.86, 0.83], "shouted": [100, 0.93, 0.95], "reworded": [55, 0.96, 0.97]}
    found = [
        _gate("integrity", "5228d929", "a bundle whose every file matches its digest"),
        _gate("holdout", "accuracy 0.9400 on 150 rows", "at least 0.8867: the live version's 0.9200 less 0.02"),
        _gate("fairness:channel", "accuracy gap 0.0710 against the live version's 0.1180", "no wider gap", gaps=gaps),
        _gate("perturbations", "accuracy lost 0.05 on 100 texts", "at most 0.1052", by_rule=rules),
        {**_gate("attack", "accuracy lost 0.8 on 40 texts", "at most 0.9", texts=40, live=0.8), "value": 0.775},
    ]
    if refused:
        found[1] |= {"passed": False, "measured": "accuracy 0.7000 on 150 rows"}
    return found


def _gate(name: str, measured: str, wanted: str, **evidence: Any) -> dict[str, Any]:
    return {
        "name": name,
        "passed": True,
        "measured": measured,
        "wanted": wanted,
        "value": None,
        "threshold": None,
        "evidence": evidence,
    }
