"""Train, calibrate, quantize and seal a model: what the Batch image runs, and what builds the starter model.

The one function of the loop that is no Lambda, and the only code that imports torch. `python -m training --help`.
Nobody is told of a training: that is said here, before a library that would tell the model hub is loaded, and in
`pawl`, which is therefore loaded before onnxruntime is.
"""

import os

import pawl as pawl

os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
