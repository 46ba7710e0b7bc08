"""Where Evidently draws its lines, by name, so that its users find the same verdicts here.

Taken from Evidently 0.7.23, `evidently/legacy/calculations/stattests` and `.../metrics/data_drift`. A distance that is
at its limit or above has drifted; a p-value has when it is below its own. None of them knows a sample's size: see
`pawl.chance` for what is left of a distance once chance is taken off.
"""

import math

# A dataset has drifted when this share of its columns has.
DRIFTED_SHARE = 0.5

P_VALUE_LIMIT = 0.05
# In standard deviations of the reference, which Evidently takes to be at least `SMALLEST_DEVIATION`.
WASSERSTEIN_LIMIT = 0.1
SMALLEST_DEVIATION = 0.001
# Evidently's 0.1 is a distance in natural logarithms; ours is in base 2, where the same shift measures 0.1201.
JENSEN_SHANNON_LIMIT = 0.1 / math.sqrt(math.log(2))
