"""What to do when a command fails: every error ends in the next step."""

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    EndpointConnectionError,
    NoCredentialsError,
    NoRegionError,
    ProfileNotFound,
)

from artifacts.target import BuildError
from operations.stack import OperationError
from pawl.errors import Conflict, InvalidBundle, InvalidDataset, InvalidReceipt, NotFound, PawlError
from pawl.items import error_code

KNOWN = (BuildError, OperationError, PawlError, BotoCoreError, ClientError)
"""The errors that a person can do something about; any other one is a fault in this program."""
_LOCALLY = "locally, export what scripts/up printed"
_STEPS: tuple[tuple[type[Exception], str], ...] = (
    (NoCredentialsError, f"export AWS_PROFILE, or sign in with aws sso login; {_LOCALLY}"),
    (ProfileNotFound, "aws configure list-profiles names the profiles that there are; export AWS_PROFILE"),
    (NoRegionError, f"export AWS_REGION; {_LOCALLY}"),
    (
        EndpointConnectionError,
        "see whether the network is up; for a local cloud, start scripts/up or unset AWS_ENDPOINT_URL",
    ),
    (InvalidReceipt, "copy the whole inference_id, as the answer or scripts/pawl lineage has it"),
    (NotFound, "scripts/pawl models, releases and runs list what there is"),
    (Conflict, "look with scripts/pawl status, and try again in some minutes"),
    (InvalidDataset, "the bucket keeps earlier versions of its objects: restore that file's"),
    (InvalidBundle, "the bucket keeps earlier versions of its objects: restore that file's; scripts/verify checks it"),
    (BuildError, "run it again from a checkout of the project, after scripts/setup"),
)
_CODES = {
    "AccessDenied": "ask for a role that may do this: the message names the action and the resource",
    "AccessDeniedException": "ask for a role that may do this: the message names the action and the resource",
    "ExpiredToken": "sign in again: aws sso login",
    "ExpiredTokenException": "sign in again: aws sso login",
    "InvalidClientTokenId": "these credentials are unknown there: export AWS_PROFILE, or aws sso login",
    "UnrecognizedClientException": "these credentials are unknown there: export AWS_PROFILE, or aws sso login",
    "ThrottlingException": "wait a minute and try again",
}


def next_step(error: Exception) -> str:
    """What a person can do about an error."""
    if isinstance(error, OperationError) and error.then:
        return error.then
    if isinstance(error, ClientError) and error_code(error) in _CODES:
        return _CODES[error_code(error)]
    steps = (step for kind, step in _STEPS if isinstance(error, kind))
    return next(steps, "scripts/pawl status shows the deployment; scripts/pawl logs FUNCTION what a function wrote")
