"""The words of the command line, and the knobs that a file turns beside them.

A job's words are the same whichever recipe it runs, so every recipe knows all of them and looks at its own.
"""

import argparse
import json
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, TypeVar, cast

from pawl.errors import SettingsError
from training import starter
from training.align_knobs import Knobs as AlignKnobs
from training.reward_knobs import Knobs as RewardKnobs
from training.search_knobs import Search as SearchKnobs
from training.sources import s3
from training.storage import place_at
from training.tensors import Knobs as TensorKnobs
from training.transfer import Knobs

NONE = "none"
"""What a job says in the place of an address that it has none for."""
PACKAGED = {"generator": "a decoder", "embedder": "a sentence encoder", "tensors": "any other model"}
"""What can be packaged untrained."""
ASSISTANT, EMBED = "assistant", "embed"
STARTER_MODELS = (starter.MODEL, ASSISTANT, EMBED)
_MEANINGS: Mapping[str, str] = {
    "starter": "make what a fresh deployment serves, each model as its version 1",
    "transfer": "train a candidate from a frozen dataset",
    "automl": "look for better knobs of transfer, and train with them",
    "reward": "train a reward model from frozen comparisons",
    "align": "align the live text generator with frozen comparisons and thumbs",
    "recalibrate": "correct the live model's probabilities by its newest labels",
}
_JOBS = tuple(name for name in _MEANINGS if name != "starter")
_KNOBS: Mapping[str, Any] = {
    "starter": Knobs,
    "transfer": Knobs,
    "automl": SearchKnobs,
    "reward": RewardKnobs,
    "align": AlignKnobs,
}
"""Whose knobs stand on the command line as well; those of recalibrate are a file's alone."""
_Knobs = TypeVar("_Knobs")


def parser() -> argparse.ArgumentParser:
    """The whole command line; `recipe` in what it parses names the command."""
    whole = argparse.ArgumentParser("python -m training", description="Train a model and seal it as a bundle.")
    recipes = whole.add_subparsers(dest="recipe", required=True, metavar="recipe")
    made = {name: recipes.add_parser(name, help=meaning) for name, meaning in _MEANINGS.items()}
    made["starter"].add_argument("--output", required=True, help="folder for models/, datasets/ and run.json")
    made["starter"].add_argument("--only", choices=STARTER_MODELS, help="make this model alone")
    for name in _JOBS:
        _add_words_of_a_job(name, made[name])
    _add_knobs(made)
    for kind, meaning in PACKAGED.items():
        _add_packaging(kind, recipes.add_parser(kind, help=f"package {meaning}, untrained"))
    return whole


def _add_words_of_a_job(name: str, recipe: argparse.ArgumentParser) -> None:
    recipe.add_argument("--model", required=True)
    recipe.add_argument("--version", required=True, help="the candidate's version, a whole number")
    recipe.add_argument("--dataset", required=True, help="folder or s3:// prefix of a frozen dataset")
    recipe.add_argument("--output", required=True, help="folder or s3:// prefix for the bundle and run.json")
    recipe.add_argument("--run", required=True, help="the training run's id")
    recipe.add_argument("--parent", help="the version it is to follow, such as models:/triage/1")
    recipe.add_argument("--knobs", default=NONE, help="JSON file of knobs to turn, or none; those given here win")
    if name in ("align", "recalibrate"):
        recipe.add_argument("--live", required=True, help="folder or s3:// prefix of the bundle that answers now")
    else:
        recipe.add_argument("--live", help="not looked at: this recipe starts from the base")
    if name == "align":
        recipe.add_argument(
            "--reward", help="folder or s3:// prefix of a reward model's bundle, to learn from or judge by"
        )
    else:
        recipe.add_argument("--reward", help="not looked at: this recipe needs no judge")
        recipe.add_argument("--method", help="not looked at: this recipe has one way to learn")


def _add_knobs(made: Mapping[str, argparse.ArgumentParser]) -> None:
    for name, recipe in made.items():
        recipe.add_argument("--code", help="revision of this code; default: PAWL_CODE_REVISION")
        if name in _KNOBS:
            default = "the live bundle's own base" if name == "align" else "the packaged MiniLM"
            recipe.add_argument("--base", help=f"pretrained model: folder or hub name; default: {default}")
            recipe.add_argument("--base-licence", default="unknown", help="licence of --base")
            for knob in fields(_KNOBS[name]):
                recipe.add_argument(f"--{knob.name.replace('_', '-')}", type=type(knob.default), help="see Knobs")


def _add_packaging(kind: str, recipe: argparse.ArgumentParser) -> None:
    own = fields(TensorKnobs) if kind == "tensors" else ()
    recipe.set_defaults(own_knobs=own)
    recipe.add_argument(
        "source",
        help="a Hugging Face folder or hub name; for a decoder also a GGUF file; for any other model an .onnx file "
        "or package.module:factory, whose code is run",
    )
    for knob in own:
        option = f"--{knob.name.replace('_', '-')}"
        recipe.add_argument(option, type=type(knob.default), default=knob.default, help="see training.tensors.Knobs")
    recipe.add_argument("--model", required=True, help="the name it is to be served by")
    recipe.add_argument("--version", default="1", help="a whole number; default: 1")
    recipe.add_argument("--output", required=True, help="folder or s3:// prefix for the bundle")
    recipe.add_argument("--base-model", help="what the manifest calls the source; default: its folder's or hub name")
    recipe.add_argument("--base-licence", default="unknown", help="licence of the source")
    recipe.add_argument("--code", help="revision of this code; default: PAWL_CODE_REVISION")


def given(options: argparse.Namespace, knobs: Callable[..., _Knobs]) -> _Knobs:
    """A recipe's knobs as a file and the command line turned them; SettingsError names one that there is not."""
    kinds = {knob.name: type(knob.default) for knob in fields(cast("Any", knobs))}
    told = {name: getattr(options, name, None) for name in kinds}
    turned = {name: value for name, value in told.items() if value not in (None, NONE)}
    return knobs(**{**knobs_in(getattr(options, "knobs", NONE), kinds), **turned})


def knobs_in(address: str, kinds: Mapping[str, type]) -> dict[str, Any]:
    """The knobs in a JSON file, a local one or an s3:// object; none where there is no file."""
    if address == NONE:
        return {}
    folder, _, name = address.rpartition("/")
    found: dict[str, Any] = json.loads(place_at(folder or ".", s3).read(name))
    if unknown := sorted(set(found) - set(kinds)):
        raise SettingsError(f"{name}: no knob {', '.join(unknown)}: want some of {', '.join(sorted(kinds))}")
    for knob, value in found.items():
        if type(value) is not kinds[knob] and not (kinds[knob] is float and type(value) is int):
            raise SettingsError(f"{name}: {knob}={value!r}: want {kinds[knob].__name__}")
    return {knob: kinds[knob](value) for knob, value in found.items()}
