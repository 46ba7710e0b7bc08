"""The recipe for reward models: a pretrained base learns from compared answers which one people prefer.

    pairs -> trl's RewardTrainer, weighted, free of length -> temperature, directions -> graph -> evaluation -> bundle

An encoder (the packaged MiniLM) learns in its upper layers and is what a Lambda can judge with; a decoder learns by
LoRA (Hu et al. 2021), merged before it is exported. Read it from top to bottom; `reward` at the end is its contents.
"""

import hashlib
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from peft import LoraConfig, PeftModel
from torch import nn
from transformers import TrainerCallback
from transformers.trainer_callback import PrinterCallback
from trl.trainer.reward_config import RewardConfig

from pawl.bundle import Bundle, Lineage, seal
from pawl.bundle import Tensor as Signature
from pawl.errors import InvalidDataset
from pawl.pairset import PairDataset, PairRow
from pawl.profile import Profile
from pawl.records import FEATURE_RANGES
from pawl.reward import KIND, LAYOUT, RewardModel
from training.calibration import fit_temperature
from training.classifier import pad
from training.curves import FILE as CURVES
from training.curves import Chronicle, draw
from training.export import GRAPH
from training.halves import precision_here, switches
from training.judge import Base, Judge, Served, load_base
from training.judge_export import ExportedJudge, export_judge
from training.measurement import compare_served
from training.pairs import Pairs, PreferenceTrainer, WeighedCollator, divide, encode, processing_of
from training.progress import RunReport
from training.resume import Checkpoints, Keeper, processes
from training.reward_card import write_reward_card
from training.reward_knobs import Knobs
from training.transfer import Purpose
from training.verdicts import length_sign, score_pairs

Floats = NDArray[np.float64]
TOLD = {
    "loss": "loss",
    "eval_loss": "validation_loss",
    "accuracy": "accuracy",
    "eval_accuracy": "validation_accuracy",
    "margin": "margin",
    "mean_reward": "mean_reward",
    "grad_norm": "gradient",
}
PANELS = {
    "loss": ("loss", "validation_loss"),
    "accuracy": ("accuracy", "validation_accuracy"),
    "reward": ("margin", "mean_reward"),
}


# --- Training ---------------------------------------------------------------------------------------------------------


def device() -> torch.device:
    """Where this process trains."""
    return cast("torch.device", processes().device)


def arguments(base: Base, knobs: Knobs, steps: int, folder: Path) -> RewardConfig:
    """How trl is to train: on what there is, in the precision that it has."""
    is_cuda = device().type == "cuda"
    return RewardConfig(
        output_dir=str(folder),
        num_train_epochs=knobs.epochs,
        per_device_train_batch_size=max(1, knobs.batch_rows // processes().num_processes),
        per_device_eval_batch_size=16,
        learning_rate=knobs.lora_rate if base.is_decoder else knobs.rate,
        lr_scheduler_type="linear",
        warmup_steps=round(knobs.warmup_share * steps),
        weight_decay=knobs.weight_decay,
        max_length=None,
        seed=knobs.seed,
        data_seed=knobs.seed,
        **switches(precision_here(knobs.precision)),
        use_cpu=not is_cuda,
        gradient_checkpointing=False,
        eval_strategy="steps",  # with a checkpoint of the same step, not after it
        eval_steps=math.ceil(steps / knobs.epochs),
        logging_steps=max(1, steps // 40),
        save_strategy="no",  # the keeper asks for what is saved
        save_total_limit=1,
        report_to="none",
        disable_tqdm=True,
        remove_unused_columns=False,
        dataloader_pin_memory=is_cuda,
        ddp_find_unused_parameters=False,
    )


def adapters(base: Base, knobs: Knobs) -> LoraConfig | None:
    """A decoder's; an encoder learns in its own weights."""
    if not base.is_decoder:
        return None
    layers = [name for name, part in base.judge.encoder.named_modules() if isinstance(part, nn.Linear)]
    return LoraConfig(
        r=knobs.lora_rank,
        lora_alpha=2 * knobs.lora_rank,
        lora_dropout=0.0,
        target_modules=[f"encoder.{name}" for name in layers],
        modules_to_save=["score"],
    )


def release_layers(judge: Judge, count: int) -> None:
    """Let an encoder's last `count` layers and the score learn, nothing else."""
    judge.requires_grad_(False)
    layers = list(judge.layers())
    for part in [*layers[len(layers) - count :], judge.score]:
        part.requires_grad_(True)


def fit(
    base: Base,
    learned: Pairs,
    validation: Pairs,
    knobs: Knobs,
    folder: Path,
    callbacks: Sequence[TrainerCallback] = (),
    resumed: str | None = None,
) -> Base:
    """Train the base's judge; `resumed` is the folder of a checkpoint. What comes back is merged, where it learned."""
    if not base.is_decoder:
        release_layers(base.judge, knobs.tuned_layers)
    steps = math.ceil(knobs.epochs * math.ceil(len(learned.chosen) / knobs.batch_rows))
    trainer = PreferenceTrainer(
        model=cast("Any", base.judge),  # trl asks of a model what a judge has
        args=arguments(base, knobs, steps, folder),
        data_collator=WeighedCollator(pad_token_id=base.pad_id),
        train_dataset=learned.dataset(),
        eval_dataset=validation.dataset(),
        processing_class=processing_of(base),
        peft_config=adapters(base, knobs),
        callbacks=list(callbacks),
    )
    trainer.remove_callback(PrinterCallback)
    trainer.length_penalty = knobs.length_penalty
    trainer.train(resume_from_checkpoint=resumed)
    model = trainer.accelerator.unwrap_model(trainer.model)
    judge: Any = model.merge_and_unload() if isinstance(model, PeftModel) else model
    judge.requires_grad_(False).eval()
    return Base(judge, base.tokenizer, base.layout, base.pad_token, base.end_token)


# --- Rewards ----------------------------------------------------------------------------------------------------------


def pooled(judge: Judge, ids: list[list[int]], size: int = 16) -> torch.Tensor:
    """The judge's pooled states of token id rows, rows of like length together: (rows, hidden)."""
    place = judge.centre.device
    order = sorted(range(len(ids)), key=lambda row: len(ids[row]))
    states = torch.empty(len(ids), judge.config.hidden_size, device=place)
    with torch.no_grad():
        for start in range(0, len(order), size):
            chosen = order[start : start + size]
            states[chosen] = judge.embed(*pad([ids[row] for row in chosen], place)).float()
    return states


def apart(judge: Judge, pairs: Pairs) -> Floats:
    """By how much the float model rewards the chosen answers more, (pairs,)."""
    with torch.no_grad():
        chosen, rejected = (judge.score(pooled(judge, ids)).squeeze(-1) for ids in (pairs.chosen, pairs.rejected))
    return (chosen - rejected).double().cpu().numpy()


def preference_temperature(margins: Floats) -> float:
    """The temperature at which margins, all told as chosen less rejected, make those choices most likely."""
    return fit_temperature(np.stack([margins, np.zeros_like(margins)], axis=1), np.zeros(len(margins), np.int64))


def set_directions(judge: Judge, ids: list[list[int]]) -> None:
    """Set centre and main directions of the pooled states of token id rows, scaled to unit variance there."""
    vectors = pooled(judge, ids).double()
    centre = vectors.mean(0)
    _, spread, basis = torch.linalg.svd(vectors - centre, full_matrices=False)
    deviation = spread / math.sqrt(max(1, len(vectors) - 1))
    count = min(judge.directions.shape[1], int((deviation > 1e-6).sum()))
    chosen = basis[:count]
    signs = chosen.gather(1, chosen.abs().argmax(1, keepdim=True)).sign()
    judge.centre.copy_(centre)
    judge.directions[:, :count] = (chosen * signs / deviation[:count, None]).T.to(judge.directions)


# --- Evaluation -------------------------------------------------------------------------------------------------------


def served_apart(model: RewardModel, rows: Sequence[PairRow]) -> tuple[Floats, dict[str, list[Any]]]:
    """The served model's rewards of rows, apart, and the profile features of all their answers."""
    rewards: list[Floats] = []
    features: dict[str, list[Any]] = {}
    prompts = [row.prompt if isinstance(row.prompt, str) else json.dumps(row.prompt) for row in rows]
    for texts in ([row.chosen for row in rows], [row.rejected for row in rows]):
        answer = model.predict({"prompt": prompts, "completion": texts})
        rewards.append(np.asarray(answer.outputs["reward"], np.float64))
        for name, column in answer.features().items():
            features.setdefault(name, []).extend(column)
    return rewards[0] - rewards[1], features


def measure(
    base: Base, model: RewardModel, dataset: PairDataset, learned: Pairs, knobs: Knobs, temperature: float
) -> tuple[dict[str, Any], Profile]:
    """The manifest's metrics, and the reference profile: the served rewards of pairs not learned from."""
    metrics: dict[str, Any] = {"float": {}, "int8": {}, "int8_agreement": {}, "length_only": {}}
    sign = length_sign(learned.gaps)
    profile: Profile | None = None
    for split in ("holdout", "recent"):
        if rows := dataset.splits.get(split):
            pairs = encode(rows, base, knobs.max_tokens)
            floats = apart(base.judge, pairs)
            served, features = served_apart(model, rows)
            metrics["float"][split] = score_pairs(rows, floats, pairs.gaps, temperature)
            metrics["int8"][split] = score_pairs(rows, served, pairs.gaps, temperature)
            metrics["int8_agreement"][split] = round(float(np.mean((floats > 0) == (served > 0))), 4)
            baseline = score_pairs(rows, sign * np.array(pairs.gaps), pairs.gaps, 1.0)
            metrics["length_only"][split] = baseline["accuracy"]
            profile = profile or Profile.of(features, FEATURE_RANGES)
    if profile is None:
        raise InvalidDataset("the holdout is empty: a reward model needs pairs to be judged by")
    lost = metrics["float"]["holdout"]["accuracy"] - metrics["int8"]["holdout"]["accuracy"]
    metrics["int8_accuracy_lost_points"] = round(100 * lost, 2)
    return metrics, profile


# --- The recipe -------------------------------------------------------------------------------------------------------


def identity(dataset: PairDataset, purpose: Purpose, knobs: Knobs, precision: str) -> str:
    """What a checkpoint must name to be taken up by this run: all that its weights follow from.

    `precision` is what the knob comes to on this machine (`training.halves`). A machine of another one starts afresh:
    it has no use for fp16's scale of gradients, nor would it end with the same weights. What that loses is no more than
    the minutes that this run has trained.
    """
    settings = {**asdict(knobs), "precision": precision}
    told = {"run": purpose.run, "dataset": dataset.digest, "base": purpose.base_model, "knobs": settings}
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def reward(
    dataset: PairDataset,
    purpose: Purpose,
    knobs: Knobs,
    folder: Path,
    report: RunReport,
    checkpoints: Checkpoints,
    clock: Callable[[], float],
) -> Bundle | None:
    """Train on a frozen dataset's comparisons and leave a sealed bundle in the empty `folder`.

    Thumbs teach it nothing: they are left out and counted. Of several processes the first does all this, and the others
    get None.
    """
    torch.manual_seed(knobs.seed)
    thumbs, dataset = dataset.thumbs, dataset.compared
    rows, held = divide(dataset.splits.get("train", []), knobs.validation_share, knobs.seed)
    if not rows or not held:
        raise InvalidDataset(f"{len(rows)} pairs to learn from and {len(held)} to validate on: want some of each")
    precision = precision_here(knobs.precision)
    report.note(precision=precision)
    with TemporaryDirectory() as scratch:
        base = load_base(purpose.base, knobs.dimensions, Path(scratch) / "base")
        learned, validation = (encode(part, base, knobs.max_tokens) for part in (rows, held))

        report.begin("training", 0.05)
        callbacks = [
            Chronicle(report, TOLD, (0.05, 0.75)),
            Keeper(checkpoints, clock, knobs.checkpoint_seconds, knobs.checkpoint_steps),
        ]
        resumed = checkpoints.fetch(Path(scratch) / "resumed")
        base = fit(base, learned, validation, knobs, Path(scratch) / "trained", callbacks, resumed)
    if not processes().is_main_process:
        return None
    report.attach(CURVES, draw(report.steps, PANELS))

    report.begin("calibration", 0.75)
    temperature = preference_temperature(apart(base.judge, validation))
    set_directions(base.judge, learned.chosen)

    report.begin("export", 0.8)
    base.judge.cpu()
    exported = export_judge(base, [*learned.chosen, *learned.rejected], folder)
    base.tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    (folder / LAYOUT).write_text(base.layout.to_json(), encoding="utf-8")

    report.begin("evaluation", 0.9)
    about = described(dataset, purpose, knobs, exported, temperature)
    model = RewardModel(seal(folder, **about, metrics={}))  # sealed for the measuring; sealed again below
    metrics, reference = measure(base, model, dataset, learned, knobs, temperature)
    tokens = min(knobs.seconds_tokens, knobs.max_tokens)
    latency = compare_served(Served(base.judge), base.judge.config.vocab_size, folder / GRAPH, tokens, 3, 5)
    metrics |= {"latency": asdict(latency), "int8_speedup": round(latency.float_ms / latency.int8_ms, 2)}
    metrics |= {"thumbs_left_out": thumbs, "precision": precision}
    metrics["bytes_ratio"] = round(exported.int8_bytes / exported.float_bytes, 4)
    (folder / "reference.json").write_text(reference.to_json(), encoding="utf-8")
    write_reward_card(folder / "card.md", about, metrics, dataset)
    return seal(folder, **about, metrics=metrics)


def described(
    dataset: PairDataset, purpose: Purpose, knobs: Knobs, exported: ExportedJudge, temperature: float
) -> dict[str, Any]:
    """The manifest's fields less files and metrics."""
    lineage = Lineage(
        purpose.run,
        dataset.digest,
        purpose.parent,
        purpose.base_model,
        purpose.base_licence,
        purpose.code,
        dataset.lineage.get("traffic_window", []),
        dataset.lineage.get("feedback", 0),
        "reward",
    )
    return {
        "name": purpose.name,
        "version": purpose.version,
        "kind": KIND,
        "created_at": purpose.created_at,
        "inputs": [Signature("prompt", "BYTES", [-1]), Signature("completion", "BYTES", [-1])],
        "outputs": [Signature("reward", "FP32", [-1])],
        "labels": [],
        "max_tokens": knobs.max_tokens,
        "quantization": {
            **exported.quantization(),
            "temperature": round(temperature, 4),
            "length_penalty": knobs.length_penalty,
        },
        "lineage": lineage,
    }
