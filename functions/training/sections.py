"""Sections of a model card that several kinds of models share, each from what the manifest's metrics hold.

A section of something that was not measured is empty, and the card goes without it.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pawl.bundle import Lineage
from pawl.intervals import wilson

SECURITY = """## Security

What holds for every version that Pawl serves:

- its bundle is signed over every file, and inference serves nothing that is not; no file of it is a pickle
- labels from feedback were screened before they were learned from (raters in collusion, bursts, one-sided or contrary
  raters, labels of nobody's): suspicious ones wait in quarantine for a person
- it answers holders of an API key only, under a usage plan with rate and quota, which slows whoever wants to copy it
  by asking; feedback needs a receipt that is signed, so nobody can vote on an answer that was never given
- personal data of known forms is masked before traffic and feedback are stored

What does not: a patient attacker can still find spellings that are answered wrongly (see robustness), and the screening
finds patterns, not every lie."""


def share(hits_share: float, rows: int) -> str:
    """A share with its 95 % interval (Wilson 1927), as a table's cell."""
    low, high = wilson(hits_share * rows, rows)
    return f"{hits_share:.1%} ({low:.1%} to {high:.1%})"


def slices(metrics: Mapping[str, Any], unit: str) -> str:
    """Accuracy by slice, as served; `unit` is what is counted."""
    lines = [
        "## Accuracy by slice, as served",
        "",
        f"| split | attribute | value | {unit} | accuracy |",
        "|---|---|---|---|---|",
    ]
    for split, measured in metrics["int8"].items():
        for attribute, values in measured["slices"].items():
            lines += [
                f"| {split} | {attribute} | {value} | {one['rows']} | {share(one['accuracy'], one['rows'])} |"
                for value, one in values.items()
            ]
    return "\n".join(lines)


def latency(metrics: Mapping[str, Any]) -> str:
    """How long a row takes as served and in torch, and what the graph weighs."""
    took = metrics["latency"]
    return (
        f"One row of {took['tokens']} tokens on one thread took {took['int8_ms']:.1f} ms as served and "
        f"{took['float_ms']:.1f} ms in torch on the training machine; the graph has {metrics['bytes_ratio']:.0%} "
        "of the float graph's bytes."
    )


def lineage(facts: Lineage, learned_from: str) -> str:
    """Where a version comes from; `learned_from` names what people said of answers."""
    window = " to ".join(facts.traffic_window) or "none"
    return "\n".join(
        [
            "## Lineage",
            "",
            f"- base model: {facts.base_model} ({facts.base_licence})",
            f"- parent: {facts.parent or 'none'}",
            f"- recipe: {facts.recipe or 'packaged as it is'}",
            f"- dataset: `{facts.dataset}`",
            f"- run: `{facts.run}`",
            f"- code: `{facts.code}`",
            f"- traffic window: {window}",
            f"- {learned_from}: {facts.feedback}",
        ]
    )


def calibration(measured: Mapping[str, Mapping[str, Any]]) -> str:
    """How often answers of about the same confidence are right, by split."""
    lines = [
        f"| {split} | {rows} | {confidence:.1%} | {share(accuracy, rows)} |"
        for split, one in measured.items()
        for rows, confidence, accuracy in one.get("reliability", [])
    ]
    title = (
        "## Calibration, as served\n\nAnswers by how sure they were: a calibrated model is right as often as it says."
    )
    return _table(title, ("split", "rows", "mean confidence", "right"), lines)


def fairness(measured: Mapping[str, Mapping[str, Any]]) -> str:
    """Gaps between groups, by split and attribute, under fairlearn's names."""
    lines = [
        f"| {split} | {attribute} | {', '.join(gaps['groups'])} | {_number(gaps['accuracy_difference'])} | "
        f"{_number(gaps['demographic_parity_difference'])} | {_number(gaps['equalized_odds_difference'])} |"
        for split, one in measured.items()
        for attribute, gaps in one.get("fairness", {}).items()
    ]
    title = (
        "## Fairness, as served\n\nThe largest differences between groups of 20 rows or more: in accuracy, in how "
        "often a label is given and in true or false positive rate, each of the worst label. Of few rows a part of "
        "each is chance, and groups may differ in what they ask."
    )
    names = ("split", "attribute", "groups", "accuracy", "demographic parity", "equalized odds")
    return _table(title, names, lines)


def robustness(found: Mapping[str, Any]) -> str:
    """Accuracy on the same texts as they are and changed by rules."""
    lines = [
        f"| {rule} | {one['rows']} | {share(one['before'], one['rows'])} | {share(one['accuracy'], one['rows'])} |"
        for rule, one in found.items()
    ]
    title = (
        "## Robustness, as served\n\nHoldout texts changed by rules that leave their meaning; a release also attacks "
        "the model with a budget of questions, and its result stands with the gates."
    )
    return _table(title, ("change", "rows", "right as they are", "right when changed"), lines)


def compression(points: Sequence[Mapping[str, Any]]) -> str:
    """What was tried to make the model small and fast, and what was chosen."""
    lines = [
        f"| {point['name']}{' (served)' if point.get('chosen') else ''} | {point['bytes'] / 1e6:.1f} | "
        f"{point['latency_ms']:.2f} | {point['quality']:.4f} |"
        for point in points
    ]
    return _table("## Compression", ("version", "MB", "ms a row", "quality"), lines)


def resources(spent: Mapping[str, Any] | None) -> str:
    """Energy and cost of the run, as estimates with what they assume."""
    if not spent:
        return ""
    price = "no price is known for it" if spent["usd"] is None else f"about {spent['usd']:.4f} USD at AWS's list price"
    return (
        f"## Energy and cost\n\nThe run took {spent['seconds']:.0f} s on {spent['device']}. At {spent['watts']:.0f} W, "
        f"assumed and not metered, that is {spent['kwh']:.4f} kWh and about {spent['grams_co2']:.1f} g of CO2 at 400 g "
        f"a kWh; {price}."
    )


def emissions(spent: Mapping[str, Any] | None) -> list[str]:
    """The lines of the card's metadata for the hub."""
    if not spent:
        return []
    source = f"estimated from {spent['seconds']:.0f} s at {spent['watts']:.0f} W and 400 g a kWh"
    return [
        "co2_eq_emissions:",
        f"  emissions: {spent['grams_co2']}",
        f"  source: {json.dumps(source)}",
        "  training_type: fine-tuning",
        f"  hardware_used: {json.dumps(spent['device'])}",
    ]


def _table(title: str, names: Sequence[str], lines: Sequence[str]) -> str:
    if not lines:
        return ""
    return "\n".join([title, "", f"| {' | '.join(names)} |", "|---" * len(names) + "|", *lines])


def _number(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3f}"
