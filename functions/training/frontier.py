"""What alignment bought and what it cost, drawn: reward and gold over the divergence from the reference.

Where the reward goes on rising and gold falls, the model is over-optimized; the ring marks the state that was kept.
"""

import io
from collections.abc import Sequence

from matplotlib.figure import Figure

from training.looks import Look


def draw_frontier(looks: Sequence[Look], best: Look) -> bytes:
    """A PNG of two panels over nats an answer: the reward, and gold with its standard error."""
    figure = Figure(figsize=(8.4, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    divergences = [look.kl_per_answer for look in looks]
    left.plot(divergences, [look.reward for look in looks], marker=".")
    right.errorbar(
        divergences, [look.gold for look in looks], [look.gold_error for look in looks], marker=".", capsize=2
    )
    for axes, title, value in ((left, "reward", best.reward), (right, "gold: held-back pairs", best.gold)):
        axes.plot([best.kl_per_answer], [value], "o", fillstyle="none", markersize=12, label=f"kept: step {best.step}")
        axes.set_title(title)
        axes.set_xlabel("divergence from the reference, nats an answer")
        axes.grid(alpha=0.3)
        axes.legend()
    for look in looks:
        left.annotate(str(look.step), (look.kl_per_answer, look.reward), fontsize=7, alpha=0.7)
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=120, metadata={"Software": None})
    return drawn.getvalue()
