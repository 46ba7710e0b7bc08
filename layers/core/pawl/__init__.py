"""What the functions of the loop share: contracts and pure logic.

`pawl.stats`, `pawl.profile`, `pawl.receipt`, `pawl.records` and `pawl.bundle` know no AWS; `pawl.bucket`,
`pawl.registry`, `pawl.feedback`, `pawl.opinions`, `pawl.ledger` and `pawl.events` are its only doors, and take their
clients as arguments.
"""
