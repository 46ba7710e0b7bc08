"""What can go wrong with the local cloud itself; every message is for the person who started it.

LocalError
├── LocalCloudError    the cloud does not start, or does not end
├── AdaptationError    the installed MiniStack has no part that we replace
├── InterpreterError   the functions' interpreter could not be made
└── DeployError        `sam build` or `sam deploy` failed
"""


class LocalError(RuntimeError):
    """The local cloud did not do what was asked."""


class LocalCloudError(LocalError):
    """The server could not be started, or something of it could not be ended."""


class AdaptationError(LocalError):
    """The installed MiniStack no longer has a part that the local cloud replaces."""


class InterpreterError(LocalError):
    """The Python that functions run on could not be made."""


class DeployError(LocalError):
    """The SAM CLI failed; the message ends with the last lines that it wrote."""
