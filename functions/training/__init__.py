"""Train, calibrate, quantize and seal a model: what the Batch image runs, and what builds the starter model.

The one function of the loop that is no Lambda, and the only code that imports torch. `python -m training --help`.
"""
