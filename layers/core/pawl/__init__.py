"""What the functions of the loop share: contracts and pure logic.

`pawl.stats`, `pawl.profile`, `pawl.receipt`, `pawl.records` and `pawl.bundle` know no AWS; `pawl.bucket`,
`pawl.registry`, `pawl.feedback`, `pawl.opinions`, `pawl.ledger` and `pawl.events` are its only doors, and take their
clients as arguments.

onnxruntime's wheels for Linux report each session to Microsoft, and keep what they could not send in a file under HOME.
It looks once, when it is loaded, whether it may: so that is said here, before any module of ours can load it.
"""

import os

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
