"""The recipe for reward models on tiny bases: what it learns, that it goes on where it stopped, and what it leaves."""

import json
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.functional.checkpoints import save_decoder, save_encoder

from inference.oip import parse_infer
from pawl.bundle import Bundle, open_bundle
from pawl.errors import InvalidDataset
from pawl.model import open_model
from pawl.pairset import PairDataset, PairRow, freeze_pairs
from pawl.profile import Profile
from pawl.reward import RewardModel
from training.__main__ import main
from training.classifier import pad
from training.halves import precision_here
from training.judge import ROWS_TOGETHER, load_base
from training.pairs import encode
from training.progress import RunReport
from training.resume import FILE, Checkpoints
from training.reward import apart, fit, identity, reward
from training.reward_knobs import Knobs
from training.storage import Folder
from training.transfer import Purpose
from training.verdicts import length_correlation, rightness

NOW_MS = 1_767_225_600_000
WORDS = [
    "my",
    "parcel",
    "is",
    "late",
    "and",
    "the",
    "courier",
    "has",
    "street",
    "wrong",
    "invoice",
    "charges",
    "twice",
    "into",
    "it",
]
KNOBS = Knobs(
    max_tokens=48, epochs=2.0, batch_rows=8, rate=3e-3, tuned_layers=2, lora_rate=3e-2, checkpoint_seconds=0.0,
    checkpoint_steps=1, seconds_tokens=16,
)  # fmt: skip


def _row(number: int) -> PairRow:
    """The better answer is the one that says please."""
    drawn = random.Random(number)
    prompt, said = (" ".join(drawn.choices(WORDS, k=count)) for count in (5, 4))
    asked = [{"role": "user", "content": prompt}] if number % 2 else prompt
    return PairRow(asked, f"please {said}", f"wrong {said}", slices={"form": "chat" if number % 2 else "text"})


@pytest.fixture(scope="module")
def dataset() -> PairDataset:
    rows = [_row(number) for number in range(80)]
    splits = {"train": rows[:56], "holdout": rows[56:72], "recent": rows[72:]}
    return freeze_pairs("judge", splits, {"parent": None, "traffic_window": [], "feedback": 80})


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """An encoder and a decoder of two layers."""
    folders = {kind: tmp_path_factory.mktemp(kind) for kind in ("encoder", "decoder")}
    save_encoder(folders["encoder"])
    save_decoder(folders["decoder"], "llama")
    return folders


@pytest.fixture(scope="module")
def bundles(
    bases: dict[str, Path], dataset: PairDataset, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Bundle]]:
    """A bundle of each, made by the command line."""
    folder = tmp_path_factory.mktemp("made")
    for name, data in dataset.files.items():
        Folder(folder / "dataset").write(name, data)
    made: dict[str, Bundle] = {}
    for kind, base in bases.items():
        words = ["reward", "--model", "judge", "--version", "2", "--run", "run-7", "--base", str(base)]
        words += ["--base-licence", "mit", "--code", "abc123", "--parent", "models:/judge/1"]
        words += ["--dataset", str(folder / "dataset"), "--output", str(folder / kind), "--max-tokens", "48"]
        words += ["--epochs", "2", "--batch-rows", "8", "--rate", "3e-3", "--tuned-layers", "2", "--lora-rate", "3e-2"]
        main([*words, "--checkpoint-seconds", "0"], {}, NOW_MS)
        made[kind] = open_bundle(folder / kind)
    yield made


@pytest.mark.parametrize("kind", ["decoder", "encoder"])
def test_it_learns_what_people_prefer_and_says_so_of_prompts_it_has_not_seen(
    kind: str, bundles: dict[str, Bundle]
) -> None:
    metrics = bundles[kind].manifest.metrics

    for split, rows in (("holdout", 16), ("recent", 8)):
        assert metrics["int8"][split]["rows"] == rows
        assert metrics["int8"][split]["accuracy"] == metrics["float"][split]["accuracy"] == 1.0
        assert metrics["int8_agreement"][split] == 1.0
        assert set(metrics["int8"][split]["slices"]["form"]) == {"chat", "text"}
    assert metrics["int8"]["holdout"]["expected_calibration_error"] < 0.05


@pytest.mark.parametrize("kind", ["decoder", "encoder"])
def test_the_bundle_opens_as_a_reward_model_and_says_where_it_comes_from(
    kind: str, bundles: dict[str, Bundle], dataset: PairDataset
) -> None:
    manifest = bundles[kind].manifest

    assert isinstance(open_model(bundles[kind]), RewardModel)
    assert set(manifest.files) == {
        *("model.onnx", "model.onnx.data", "tokenizer.json", "reward.json", "reference.json", "card.md")
    }
    assert [(each.name, each.datatype) for each in manifest.inputs] == [("prompt", "BYTES"), ("completion", "BYTES")]
    assert (manifest.kind, manifest.outputs[0].name, manifest.outputs[0].shape) == ("reward-model", "reward", [-1])
    assert (manifest.lineage.dataset, manifest.lineage.recipe) == (dataset.digest, "reward")
    assert (manifest.lineage.parent, manifest.lineage.base_licence) == ("models:/judge/1", "mit")


@pytest.mark.parametrize("kind", ["decoder", "encoder"])
def test_an_answer_s_reward_hangs_on_neither_its_neighbours_nor_the_way_it_is_asked(
    kind: str, bundles: dict[str, Bundle]
) -> None:
    model = RewardModel(bundles[kind])
    prompts = [[{"role": "user", "content": "my parcel is late"}], "my parcel is late", "the invoice"]
    completions = ["please look into it", "please look into it", "wrong street"]

    together = model.rewards(prompts, completions)

    assert together[0] == together[1] == model.rewards(prompts[:1], completions[:1])[0]
    asked = {"prompt": [json.dumps(prompts[0]), *prompts[1:]], "completion": completions}
    assert np.allclose(model.predict(asked).outputs["reward"], together)
    assert together[0] > together[2]
    assert model.preference_probability(together[0], together[2]) > 0.9
    assert model.preference_probability(1.0, 1.0) == 0.5


@pytest.mark.parametrize("kind", ["encoder", "decoder"])
def test_a_batch_of_many_lengths_is_rewarded_row_by_row_as_if_each_were_alone(
    bases: dict[str, Path], kind: str, tmp_path: Path
) -> None:
    base = load_base(str(bases[kind]), 2, tmp_path)
    lengths = torch.randint(4, 40, (3 * ROWS_TOGETHER - 1,), generator=torch.Generator().manual_seed(0)).tolist()
    rows = [[5 + place % 7 for place in range(length)] for length in lengths]
    ids, mask = pad(rows, torch.device("cpu"))

    together = base.judge(ids, mask).logits

    alone = torch.cat([base.judge(*pad([row], torch.device("cpu"))).logits for row in rows])
    assert together.shape == (len(rows), 1)
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-4)
    assert together.unique().numel() > len(set(lengths)) // 2


def test_a_long_dialogue_loses_its_beginning_and_not_its_answer(bundles: dict[str, Bundle]) -> None:
    model = RewardModel(bundles["encoder"])
    long = "my parcel is late " * 40

    rewards = model.rewards([long, "street " + long, long], ["please look", "please look", "wrong street"])

    assert rewards[0] == rewards[1]
    assert rewards[0] > rewards[2]


def test_it_is_asked_by_the_open_inference_protocol_like_any_other_model(bundles: dict[str, Bundle]) -> None:
    body = {
        "inputs": [
            {"name": "prompt", "shape": [2], "datatype": "BYTES", "data": ["my parcel", "my parcel"]},
            {"name": "completion", "shape": [2], "datatype": "BYTES", "data": ["please look", "wrong street"]},
        ]
    }

    asked = parse_infer(json.dumps(body), None, bundles["encoder"].manifest, 8)
    answer = RewardModel(bundles["encoder"]).predict(asked.inputs)

    assert answer.outputs["reward"].shape == (2,)
    assert set(map(len, answer.features().values())) == {2}


def test_the_reference_profile_counts_the_served_rewards_of_the_holdout(bundles: dict[str, Bundle]) -> None:
    reference = Profile.from_json((bundles["encoder"].path / "reference.json").read_bytes())

    assert reference.rows == 32
    assert {"reward", "tokens", "prompt_characters", "projection_0"} <= set(reference.columns)


@pytest.mark.parametrize("kind", ["decoder", "encoder"])
def test_the_report_holds_the_curves_and_a_drawing_lies_beside_it(kind: str, bundles: dict[str, Bundle]) -> None:
    folder = bundles[kind].path
    report = json.loads((folder / "run.json").read_text())

    assert (report["status"], [each["split"] for each in report["evaluations"]]) == ("completed", ["holdout", "recent"])
    losses = [each["loss"] for each in report["steps"] if "loss" in each]
    assert losses[-1] < losses[0] / 2
    assert sum("validation_loss" in each for each in report["steps"]) == 2
    assert (folder / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert [file.stat().st_size for file in folder.parent.glob(f"{folder.name}.checkpoint/*")] == [0]


@pytest.mark.parametrize("kind", ["decoder", "encoder"])
def test_report_manifest_and_card_say_in_which_precision_it_was_trained(kind: str, bundles: dict[str, Bundle]) -> None:
    bundle, found = bundles[kind], precision_here("auto")

    assert json.loads((bundle.path / "run.json").read_text())["precision"] == found
    assert bundle.manifest.metrics["precision"] == found
    assert f"It was trained in {found}." in (bundle.path / "card.md").read_text()


def test_the_card_tells_what_length_alone_would_have_said(bundles: dict[str, Bundle]) -> None:
    card = (bundles["encoder"].path / "card.md").read_text()

    assert card.startswith('---\nlicense: "mit"\nbase_model: "')
    assert "| holdout | int8, as served | 16 | 100.0% | 50.0% |" in card
    assert "a longer one loses its beginning" in card


class Vanishing(Folder):
    """A place on whose machine the power fails with the write of a number."""

    def __init__(self, path: Path, left: int) -> None:
        super().__init__(path)
        self._left = left

    def write(self, name: str, data: bytes) -> None:
        self._left -= 1
        if self._left < 0:
            raise KeyboardInterrupt
        super().write(name, data)


@pytest.mark.parametrize("kind", ["decoder", "encoder"])
def test_a_run_that_is_killed_at_any_step_ends_with_the_same_weights(
    kind: str, bases: dict[str, Path], dataset: PairDataset, tmp_path: Path
) -> None:
    purpose = Purpose("judge", "2", "run-7", "2026-01-01T00:00:00.000Z", str(bases[kind]), kind, "mit")

    def run(folder: Path, place: Folder) -> Bundle | None:
        (folder / "bundle").mkdir(parents=True, exist_ok=True)
        report = RunReport(Folder(folder / "report"), "run-7", lambda: 0.0)
        checkpoints = Checkpoints(place, identity(dataset, purpose, KNOBS, "fp32"))
        return reward(dataset, purpose, KNOBS, folder / "bundle", report, checkpoints, lambda: 0.0)

    whole = run(tmp_path / "whole", Folder(tmp_path / "whole-checkpoint"))
    killed_after = random.Random(kind).randint(2, 9)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "killed", Vanishing(tmp_path / "checkpoint", killed_after))
    assert (tmp_path / "checkpoint" / FILE).exists()
    resumed = run(tmp_path / "killed", Folder(tmp_path / "checkpoint"))

    assert whole is not None and resumed is not None
    for name in ("model.onnx", "model.onnx.data", "reference.json"):
        assert whole.manifest.files[name] == resumed.manifest.files[name]
    told = [json.loads((tmp_path / name / "report" / "run.json").read_text())["steps"] for name in ("whole", "killed")]
    assert told[0] == told[1]


def test_a_checkpoint_of_another_run_is_not_taken_up(tmp_path: Path) -> None:
    (tmp_path / "checkpoint-3").mkdir()
    (tmp_path / "checkpoint-3" / "trainer_state.json").write_text("{}")
    (tmp_path / "checkpoint-3" / "training_args.bin").write_bytes(b"pickled")
    place = Folder(tmp_path / "place")
    Checkpoints(place, "mine").store(tmp_path / "checkpoint-3")

    assert Checkpoints(place, "another's").fetch(tmp_path / "other") is None
    fetched = Checkpoints(place, "mine").fetch(tmp_path / "own")
    assert fetched is not None
    assert [path.name for path in Path(fetched).iterdir()] == ["trainer_state.json"]
    Checkpoints(place, "mine").forget()
    assert Checkpoints(place, "mine").fetch(tmp_path / "gone") is None


def test_a_dataset_without_pairs_on_both_sides_is_refused(
    bases: dict[str, Path], dataset: PairDataset, tmp_path: Path
) -> None:
    few = freeze_pairs("judge", {"train": [_row(1)], "holdout": [_row(2)]}, dict(dataset.lineage))
    purpose = Purpose("judge", "2", "run-7", "2026-01-01T00:00:00.000Z", str(bases["encoder"]), "tiny", "mit")
    report = RunReport(Folder(tmp_path), "run-7", lambda: 0.0)

    with pytest.raises(InvalidDataset, match="0 pairs to learn from and 1 to validate on"):
        reward(few, purpose, KNOBS, tmp_path, report, Checkpoints(Folder(tmp_path), ""), lambda: 0.0)


def test_the_identity_of_a_run_changes_with_all_that_its_weights_follow_from(dataset: PairDataset) -> None:
    purpose = Purpose("judge", "2", "run-7", "2026-01-01T00:00:00.000Z", "base", "base", "mit")
    changed = [replace(purpose, run="run-8"), replace(purpose, base_model="other")]

    names = {identity(dataset, each, KNOBS, "fp32") for each in (purpose, *changed)}

    assert len(names | {identity(dataset, purpose, replace(KNOBS, seed=8), "fp32")}) == 4


def test_a_checkpoint_of_a_machine_that_multiplies_otherwise_is_not_taken_up(
    dataset: PairDataset, tmp_path: Path
) -> None:
    purpose = Purpose("judge", "2", "run-7", "2026-01-01T00:00:00.000Z", "base", "base", "mit")
    half, brain = (Checkpoints(Folder(tmp_path), identity(dataset, purpose, KNOBS, each)) for each in ("fp16", "bf16"))
    (tmp_path / "checkpoint-3").mkdir()
    (tmp_path / "checkpoint-3" / "scaler.pt").write_bytes(b"scale of gradients")
    half.store(tmp_path / "checkpoint-3")

    assert brain.fetch(tmp_path / "other") is None
    assert half.fetch(tmp_path / "own") == str(tmp_path / "own" / "checkpoint-3")
    named = replace(KNOBS, precision="fp16")
    assert identity(dataset, purpose, named, "fp16") == identity(dataset, purpose, KNOBS, "fp16")


def test_the_penalty_keeps_length_out_of_the_reward(bases: dict[str, Path], tmp_path: Path) -> None:
    drawn = random.Random(5)

    def row(number: int) -> PairRow:
        """The better answer says please, and is mostly the longer one."""
        lengths = sorted(drawn.sample(range(3, 12), 2), reverse=number % 8 > 0)
        better, worse = (" ".join(drawn.choices(WORDS, k=count)) for count in lengths)
        return PairRow(f"my parcel {number}", f"please {better}", f"wrong {worse}")

    rows = [row(number) for number in range(120)]
    correlations: list[float] = []
    for penalty in (0.0, 1.0):
        torch.manual_seed(1)
        base = load_base(str(bases["encoder"]), 2, tmp_path)
        learned, held = (encode(part, base, 48) for part in (rows[:80], rows[80:]))
        base = fit(base, learned, held, replace(KNOBS, length_penalty=penalty), tmp_path / "trained")
        margins = apart(base.judge, held)
        assert rightness(margins).mean() > 0.9
        correlations.append(length_correlation(margins, held.gaps))
    assert correlations[0] > 0.5
    assert abs(correlations[1]) < correlations[0] / 2
