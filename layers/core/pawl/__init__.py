"""What the functions of the loop share: contracts and pure logic.

`pawl.stats`, `pawl.profile`, `pawl.receipt`, `pawl.records` and `pawl.bundle` know no AWS; `pawl.store`,
`pawl.registry` and `pawl.events` are its only doors, and take their clients as arguments.
"""
