"""The recipe for text classifiers: a pretrained encoder, a new head, and its layers tuned to the data.

Every run starts from the pretrained base and learns from the whole dataset, old rows and new: nothing that an earlier
version knew can be forgotten by being trained over. Read it from top to bottom; `transfer` at the end is its contents.

    rows -> head on frozen embeddings -> upper layers -> temperature, directions -> graph -> evaluation -> bundle
"""

import math
import random
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor, nn

from pawl.bundle import Bundle, Lineage, seal
from pawl.bundle import Tensor as Signature
from pawl.classifier import KIND, TextClassifier
from pawl.dataset import FrozenDataset
from training.calibration import fit_temperature
from training.card import write_card
from training.classifier import Classifier, load_encoder, load_tokenizer, pad
from training.compression import Effort, Sample, compress
from training.examples import Examples, batches, divide, encode, label_names
from training.footprint import footprint
from training.measurement import embed, measure
from training.pareto import FILE as PICTURE
from training.pareto import draw
from training.progress import Listener, RunReport


@dataclass(frozen=True, slots=True)
class Knobs:
    """What may be turned; the defaults train all-MiniLM-L6-v2 on some hundred rows in about a minute."""

    seed: int = 7
    """Of every shuffle, initial weight and dropout mask."""
    max_tokens: int = 128
    """Longer texts are cut; also what the served tokenizer does."""
    dimensions: int = 8
    """Main directions of the embeddings that the drift profile watches."""
    validation_share: float = 0.15
    """Of the training rows of each label: never trained on, they stop the training and set the temperature."""
    recent_weight: float = 2.0
    """How much a row of labelled traffic counts against a starter row's 1."""
    head_steps: int = 50
    """Whole-batch steps of the head on frozen embeddings; many more, and nothing is left for the layers to learn."""
    head_rate: float = 1e-2
    """Learning rate of those steps."""
    tuned_layers: int = 6
    """Encoder layers that learn, counted from the last; those below stay as they were pretrained."""
    epochs: int = 6
    """Passes over the training rows with those layers learning, at most."""
    patience: int = 2
    """Passes without a lower validation loss before that stops; the best pass is the one kept."""
    batch_rows: int = 16
    """Rows a step; rows of like length share one, so that little of it is padding."""
    encoder_rate: float = 5e-5
    """Highest learning rate of the encoder's layers."""
    warmup_share: float = 0.1
    """Of all steps, during which the rate rises from nothing; then it falls in a line to nothing."""
    dropout: float = 0.1
    """Share of the pooled embedding hidden from the head at each training step."""
    weight_decay: float = 0.01
    """Pull of the learning weights towards zero."""
    candidates: str = "few"
    """Ways to make the model smaller that are tried: a `few`, or `all` that there are, minutes more."""


@dataclass(frozen=True, slots=True)
class Purpose:
    """What the run is for, and where its model comes from: everything that the data do not say."""

    name: str
    version: str
    run: str
    created_at: str
    base: str
    """A folder, or a name on the Hugging Face hub."""
    base_model: str
    base_licence: str
    parent: str | None = None
    code: str = "unknown"
    recipe: str = "transfer"


# --- The head, on frozen embeddings -----------------------------------------------------------------------------------


def loss_of(logits: Tensor, examples: Examples) -> Tensor:
    """Weighted cross-entropy of logits (rows, labels)."""
    losses = nn.functional.cross_entropy(logits, examples.labels.to(logits.device), reduction="none")  # (rows,)
    weights = examples.weights.to(logits.device)
    return (losses * weights).sum() / weights.sum()


def train_head(classifier: Classifier, train: Examples, knobs: Knobs) -> float:
    """Fit the head alone to embeddings computed once; the last loss."""
    pooled = embed(classifier, train.ids)  # (rows, hidden)
    learner = torch.optim.AdamW(classifier.head.parameters(), lr=knobs.head_rate, weight_decay=knobs.weight_decay)
    for _ in range(knobs.head_steps):
        learner.zero_grad()
        loss_of(classifier.head(pooled), train).backward()
        learner.step()
    with torch.no_grad():
        return loss_of(classifier.head(pooled), train).item()


# --- The upper layers -------------------------------------------------------------------------------------------------


def release_layers(classifier: Classifier, count: int) -> list[nn.Parameter]:
    """Let the last `count` layers and the head learn, nothing else; what learns."""
    classifier.requires_grad_(False)
    layers = list(classifier.layers())
    for part in [*layers[len(layers) - count :], classifier.head]:
        part.requires_grad_(True)
    return [parameter for parameter in classifier.parameters() if parameter.requires_grad]


def rate_at(step: int, steps: int, warmup_share: float) -> float:
    """The learning rate's share of its highest at a step: up in a line, then down in a line."""
    warmup = max(1, round(steps * warmup_share))
    return (step + 1) / warmup if step < warmup else (steps - step) / max(1, steps - warmup)


def train_layers(
    classifier: Classifier,
    train: Examples,
    validation: Examples,
    knobs: Knobs,
    report: Listener,
    progress: tuple[float, float],
) -> None:
    """Tune the upper layers with the head; the classifier is left as it was after its best epoch."""
    parameters = release_layers(classifier, knobs.tuned_layers)
    learner = torch.optim.AdamW(parameters, lr=knobs.encoder_rate, weight_decay=knobs.weight_decay)
    steps = knobs.epochs * math.ceil(len(train.ids) / knobs.batch_rows)
    schedule = torch.optim.lr_scheduler.LambdaLR(learner, lambda step: rate_at(step, steps, knobs.warmup_share))
    shuffle = random.Random(knobs.seed)
    best_loss, best_epoch, best_state = validate(classifier, validation), 0, copy_state(classifier)
    report.epoch(0, progress[0], validation_loss=best_loss)
    for epoch in range(1, knobs.epochs + 1):
        loss = pass_over(classifier, train, batches(train.ids, knobs.batch_rows, shuffle), learner, schedule)
        validation_loss = validate(classifier, validation)
        done = progress[0] + (progress[1] - progress[0]) * epoch / knobs.epochs
        report.epoch(epoch, done, loss=loss, validation_loss=validation_loss)
        if validation_loss < best_loss:
            best_loss, best_epoch, best_state = validation_loss, epoch, copy_state(classifier)
        if epoch - best_epoch >= knobs.patience:
            break
    classifier.load_state_dict(best_state)


def pass_over(
    classifier: Classifier,
    train: Examples,
    order: list[list[int]],
    learner: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
) -> float:
    """One epoch; its mean loss."""
    classifier.train()
    losses: list[float] = []
    for chosen in order:
        batch = train.of(chosen)
        pooled = classifier.embed(*pad(batch.ids, classifier.centre.device))  # (rows, hidden)
        loss = loss_of(classifier.logits(pooled), batch)
        learner.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(classifier.parameters(), 1.0)
        learner.step()
        schedule.step()
        losses.append(loss.item())
    return float(np.mean(losses))


def validate(classifier: Classifier, validation: Examples) -> float:
    """The loss on rows not learned from, at its best temperature: `calibrate` cures a model that is too sure."""
    with torch.no_grad():
        logits = classifier.head(embed(classifier, validation.ids))
        return loss_of(logits / best_temperature(logits, validation), validation).item()


def best_temperature(logits: Tensor, validation: Examples) -> float:
    """The temperature at which logits (rows, labels) make the true labels most likely."""
    return fit_temperature(logits.double().cpu().numpy(), validation.labels.numpy())


def copy_state(classifier: Classifier) -> dict[str, Tensor]:
    """The weights as they are now."""
    return {name: tensor.detach().clone() for name, tensor in classifier.state_dict().items()}


# --- Temperature and directions ---------------------------------------------------------------------------------------


def calibrate(classifier: Classifier, validation: Examples) -> None:
    """Set the temperature by rows not learned from."""
    with torch.no_grad():
        temperature = best_temperature(classifier.head(embed(classifier, validation.ids)), validation)
    classifier.temperature.fill_(temperature)


def set_directions(classifier: Classifier, train: Examples) -> None:
    """Set centre and main directions of the training rows' embeddings, scaled to unit variance there.

    A direction's sign is chosen so that its largest part is positive. Directions beyond the rows' rank stay zero.
    """
    pooled = embed(classifier, train.ids).double().cpu()  # (rows, hidden)
    centre = pooled.mean(0)
    _, spread, basis = torch.linalg.svd(pooled - centre, full_matrices=False)  # basis (rank, hidden)
    deviation = spread / math.sqrt(max(1, len(pooled) - 1))
    count = min(classifier.directions.shape[1], int((deviation > 1e-6).sum()))
    chosen = basis[:count]
    signs = chosen.gather(1, chosen.abs().argmax(1, keepdim=True)).sign()  # (count, 1)
    classifier.centre.copy_(centre)
    classifier.directions[:, :count] = (chosen * signs / deviation[:count, None]).T.to(classifier.directions)


# --- The whole training -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Trained:
    """A trained network, on the CPU and in evaluation mode, and the rows that it learned from and was validated on."""

    classifier: Classifier
    tokenizer: Tokenizer
    labels: list[str]
    sample: Sample


def train(dataset: FrozenDataset, base: str, knobs: Knobs, report: Listener) -> Trained:
    """Train on a frozen dataset's split `train`, by `knobs.seed` alone the same each time on one machine."""
    torch.manual_seed(knobs.seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    tokenizer = load_tokenizer(base, knobs.max_tokens)
    labels = label_names(dataset)
    learned, validation = (
        encode(rows, labels, tokenizer, knobs.recent_weight)
        for rows in divide(dataset.splits["train"], knobs.validation_share, knobs.seed)
    )
    classifier = Classifier(load_encoder(base), len(labels), knobs.dimensions, knobs.dropout).to(device)

    report.begin("head", 0.05)
    head_loss = train_head(classifier, learned, knobs)
    report.epoch(1, 0.15, loss=head_loss)

    report.begin("layers", 0.15)
    train_layers(classifier, learned, validation, knobs, report, (0.15, 0.75))

    report.begin("calibration", 0.75)
    calibrate(classifier, validation)
    set_directions(classifier, learned)
    classifier.requires_grad_(False).cpu().eval()
    sample = Sample(learned.ids, learned.labels, validation.ids, validation.labels)
    return Trained(classifier, tokenizer, labels, sample)


# --- The recipe -------------------------------------------------------------------------------------------------------


def transfer(
    dataset: FrozenDataset,
    purpose: Purpose,
    knobs: Knobs,
    folder: Path,
    report: RunReport,
    found: Mapping[str, Any] = MappingProxyType({}),
) -> Bundle:
    """Train on a frozen dataset and leave a sealed bundle in the empty `folder`.

    `found` is what the manifest's metrics tell besides what is measured here: how the knobs were come by.
    """
    trained = train(dataset, purpose.base, knobs, report)
    classifier, tokenizer, labels = trained.classifier, trained.tokenizer, trained.labels

    report.begin("export", 0.8)
    effort = Effort.named(knobs.candidates)
    compressed = compress(classifier, tokenizer, trained.sample, folder, lambda: report.elapsed_s, effort)
    report.attach(PICTURE, draw(compressed.points))
    exported = compressed.exported

    report.begin("evaluation", 0.9)
    about: dict[str, Any] = {
        "name": purpose.name,
        "version": purpose.version,
        "kind": KIND,
        "created_at": purpose.created_at,
        "inputs": [Signature("text", "BYTES", [-1])],
        "outputs": [Signature("label", "BYTES", [-1]), Signature("probabilities", "FP32", [-1, len(labels)])],
        "labels": labels,
        "max_tokens": knobs.max_tokens,
        "quantization": {**exported.quantization, "temperature": round(float(classifier.temperature), 4)},
        "lineage": Lineage(
            purpose.run,
            dataset.digest,
            purpose.parent,
            purpose.base_model,
            purpose.base_licence,
            purpose.code,
            dataset.lineage["traffic_window"],
            dataset.lineage["feedback"],
            purpose.recipe,
        ),
    }
    model = TextClassifier(seal(folder, **about, metrics={}))  # sealed for the measuring; sealed again below
    metrics, reference = measure(classifier, model, folder, dataset, labels, tokenizer, exported, knobs.seed)
    metrics["footprint"] = asdict(footprint(report.elapsed_s))
    metrics["compression"] = [point.to_dict() for point in compressed.points]
    (folder / "reference.json").write_text(reference.to_json(), encoding="utf-8")
    write_card(folder / "card.md", about, metrics, dataset)
    return seal(folder, **about, metrics={**metrics, **found})
