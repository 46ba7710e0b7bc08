"""A tiny generator that has two ways to answer anything, one polite and one not, and takes each about as often.

It is a real checkpoint of two layers, taught in some seconds; how long an answer is says nothing of how polite it is.
"""

import random
from pathlib import Path

import torch
from tests.functional.checkpoints import SPECIAL, save_decoder
from tokenizers import Tokenizer
from transformers import LlamaForCausalLM

POLITE = ("thank you, we look into it", "thank you, we look into it, and the courier has my street too")
RUDE = ("no, the courier is late", "no, the courier is late, and the invoice charges the street twice")
THINGS = ("parcel", "invoice", "street", "courier", "lamp", "garden", "ticket", "letter", "bicycle", "kettle")
PLACES = ("rome", "oslo", "bern", "paris", "turin", "ghent", "bonn", "york", "lyon", "graz", "porto", "basel")
STEPS, ROWS = 160, 16


def questions() -> list[str]:
    """120 different questions, always in the same order."""
    found = [f"where is the {thing} from {place}" for thing in THINGS for place in PLACES]
    random.Random(5).shuffle(found)
    return found


def is_polite(text: str) -> bool:
    """Which of the two ways an answer is."""
    return text.startswith("thank you")


def save_talker(folder: Path) -> None:
    """The checkpoint in `folder`, made there."""
    model = save_decoder(folder, "llama")
    assert isinstance(model, LlamaForCausalLM)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    chance, asked = random.Random(3), questions()
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3)
    model.train()
    for step in range(STEPS):
        for group in optimizer.param_groups:
            group["lr"] = 4e-3 * (1 - step / STEPS)
        rows = [_row(tokenizer, chance.choice(asked), chance.choice([*POLITE, *RUDE])) for _ in range(ROWS)]
        width = max(len(ids) for ids, _ in rows)
        ids = torch.tensor([row + [0] * (width - len(row)) for row, _ in rows])
        labels = torch.tensor([told + [-100] * (width - len(told)) for _, told in rows])
        model(input_ids=ids, labels=labels).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.eval().save_pretrained(folder)


def _row(tokenizer: Tokenizer, question: str, answer: str) -> tuple[list[int], list[int]]:
    """A conversation as ids, and what is learned of it: the answer alone."""
    prompt = f"{SPECIAL[1]}user\n{question}{SPECIAL[2]}\n{SPECIAL[1]}assistant\n"
    before, said = tokenizer.encode(prompt).ids, tokenizer.encode(answer + SPECIAL[2]).ids
    return before + said, [-100] * len(before) + said
