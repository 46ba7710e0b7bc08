"""What can go wrong with the local cloud itself; every message is for the person who started it.

LocalCloudError
├── AdaptationError    the installed MiniStack has no part that we replace
├── InterpreterError   the functions' interpreter could not be made
└── DeployError        `sam build` or `sam deploy` failed
"""


class LocalCloudError(RuntimeError):
    """The local cloud did not do what was asked."""


class AdaptationError(LocalCloudError):
    """The installed MiniStack no longer has a part that the local cloud replaces."""


class InterpreterError(LocalCloudError):
    """The Python that functions run on could not be made."""


class DeployError(LocalCloudError):
    """The SAM CLI failed; the message ends with the last lines that it wrote."""
