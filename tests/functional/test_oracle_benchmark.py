"""The bench's two halves with a tiny decoder: what it can learn is nothing, but every figure is measured."""

from pathlib import Path

from tests.functional.checkpoints import save_decoder

from benchmarks import oracle
from training.align_knobs import Knobs

TINY = oracle.Size(prompts=80, samples=6, judged=4, answer_tokens=16)
KNOBS = Knobs(rank=2, steps=2, batch_rows=2, max_tokens=96, answer_tokens=16, looks=1)


def test_both_halves_leave_every_figure(tmp_path: Path) -> None:
    save_decoder(tmp_path, "llama")
    found = oracle.measure(source=str(tmp_path), size=TINY, knobs=KNOBS)
    assert found["unseen_prompts"] == 4
    assert found["float"]["wins"] + found["float"]["losses"] + found["float"]["ties"] == 4
    assert found["served"]["wins"] + found["served"]["losses"] + found["served"]["ties"] == 4
    assert found["kl"] >= 0.0
    assert 0.0 <= found["win_rate_quantized"] <= 1.0
