"""What the manifest alone tells: whether clients can go on, whose model it is, and whether it fits a layer."""

from pawl.bundle import Manifest
from release.gate import Gate
from release.policy import GatePolicy


def signature_gate(candidate: Manifest, live: Manifest) -> Gate:
    """Clients of the live version must be able to use the candidate: same inputs and outputs, no label lost."""
    alike = candidate.inputs == live.inputs and [(o.name, o.datatype) for o in candidate.outputs] == [
        (o.name, o.datatype) for o in live.outputs
    ]
    lost = sorted(set(live.labels) - set(candidate.labels))
    measured = f"labels lost: {', '.join(lost)}" if lost else "alike" if alike else "inputs or outputs differ"
    return Gate("signature", alike and not lost, measured, "the live version's inputs, outputs and labels")


def licence_gate(candidate: Manifest, policy: GatePolicy) -> Gate:
    """The base model may be served: its licence is one that the policy names."""
    licence = candidate.lineage.base_licence
    allowed = {each.casefold() for each in policy.licences}
    return Gate(
        "licence",
        licence.casefold() in allowed,
        f"{licence}, of {candidate.lineage.base_model}",
        f"one of {', '.join(policy.licences)}",
    )


def size_gate(candidate: Manifest, policy: GatePolicy) -> Gate:
    """Small enough for a layer."""
    size, limit = sum(about["size"] for about in candidate.files.values()), policy.size_limit_bytes
    return Gate(
        "size", size <= limit, f"{size / 1e6:.1f} MB", f"at most {limit / 1e6:.0f} MB", float(size), float(limit)
    )
