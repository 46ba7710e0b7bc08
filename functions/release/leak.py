"""Whether the candidate was shown what it is judged by: held-out texts that nearly repeat a training text."""

from pawl.dataset import FrozenDataset
from pawl.minhash import THRESHOLD, first_alike
from release.gate import Gate, rounded
from release.policy import GatePolicy


def leak_gate(dataset: FrozenDataset, policy: GatePolicy) -> Gate:
    """No held-out text repeats a training text; texts that share most of their runs of words repeat each other."""
    train = [row.text for row in dataset.splits["train"]]
    held = [row.text for split, rows in dataset.splits.items() if split != "train" for row in rows]
    first = first_alike([*train, *held])
    leaked = int((first[len(train) :] < len(train)).sum())
    share = leaked / len(held) if held else 0.0
    return Gate(
        "leak",
        share <= policy.leak_share,
        f"{leaked} of {len(held)} held-out rows repeat one of {len(train)} training rows",
        f"a share of at most {policy.leak_share:g}; texts with {THRESHOLD:.0%} of their runs of words in common count",
        rounded(share),
        policy.leak_share,
        {"leaked": leaked, "held_out": len(held), "train": len(train)},
    )
