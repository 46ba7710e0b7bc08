"""The two function versions that share the traffic during a canary: which one this is, and asking the other.

Each arm's layer holds one version of a model, so a request that names the other arm's is handed on. What the alias says
is remembered for some seconds; that nobody shares its traffic only briefly, since a canary may begin at any moment.
"""

import functools
import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from inference.delivery import FAILED, print_metric
from inference.engine import CANDIDATE, LIVE
from inference.refusals import refuse
from inference.service import JSON
from pawl.errors import NotReady, log_failure

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

_REMEMBERED_S = 10.0
_ALONE_S = 2.0
_PATIENCE_S = 30
_NO_ANSWER = "the version asked for is the canary's other arm's, which gave no answer: try again"
_OPENAI = ("/v1/", "/openai/")


@dataclass(frozen=True, slots=True)
class Shared:
    """What the alias said, and when: the live version's function version, and the candidate's if there is one."""

    looked_s: float = float("-inf")
    main: str = ""
    candidate: str = ""


class Arms:
    """This function version, and the one beside it if there is one; the SDK is imported when that is first asked."""

    def __init__(
        self,
        function: str,
        version: str,
        connect: "Callable[[], LambdaClient] | None" = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.function = function
        self._version = version
        self._connect = connect or _connect
        self._clock = clock
        self._client: LambdaClient | None = None
        self._shared = Shared()

    def own(self) -> str:
        """Which arm this is, LIVE or CANDIDATE; empty where the alias does not name it, and outside Lambda."""
        shared = self._look(_REMEMBERED_S)
        arms = {shared.candidate: CANDIDATE, shared.main: LIVE}
        return arms.get(self._version, "") if self._version else ""

    def other(self) -> str:
        """The version that has the rest of the traffic; empty where there is none."""
        shared = self._look(_REMEMBERED_S if self._shared.candidate else _ALONE_S)
        others = {shared.candidate: shared.main, shared.main: shared.candidate}
        return others.get(self._version, "") if self._version else ""

    def ask_other(self, event: Mapping[str, Any]) -> dict[str, Any] | None:
        """The other arm's reply to an event; None where there is no other, NotReady where it gave none."""
        other = self.other()
        return self._ask(other, json.dumps(event).encode()) if other else None

    def _ask(self, version: str, payload: bytes) -> dict[str, Any]:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            answer = self._connected().invoke(FunctionName=self.function, Qualifier=version, Payload=payload)
            reply = json.loads(answer["Payload"].read())
        except (BotoCoreError, ClientError) as error:
            raise NotReady(_NO_ANSWER) from error
        if "FunctionError" in answer:
            raise NotReady(_NO_ANSWER)
        return reply

    def _look(self, fresh_s: float) -> Shared:
        """The alias as it was so many seconds ago at the most, or as it was known before where it cannot be read."""
        if self._version and self._clock() - self._shared.looked_s >= fresh_s:
            self._shared = self._read() or replace(self._shared, looked_s=self._clock())
        return self._shared

    def _read(self) -> Shared | None:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            alias = self._connected().get_alias(FunctionName=self.function, Name=LIVE)
        except (BotoCoreError, ClientError) as error:
            log_failure(error, "arms")
            return None
        weights = (alias.get("RoutingConfig") or {}).get("AdditionalVersionWeights") or {}
        return Shared(self._clock(), alias["FunctionVersion"], next(iter(weights), ""))

    def _connected(self) -> "LambdaClient":
        self._client = self._client or self._connect()
        return self._client


@functools.cache
def open_arms() -> Arms:
    """The arms of the function that this process runs, by what Lambda tells in the environment."""
    return Arms(os.environ.get("AWS_LAMBDA_FUNCTION_NAME", ""), os.environ.get("AWS_LAMBDA_FUNCTION_VERSION", ""))


def answer_elsewhere(event: Mapping[str, Any]) -> dict[str, Any] | None:
    """The other arm's reply to a request that names what is not here; None where it names nothing, or nobody has it."""
    if not names_version(event):
        return None
    arms = open_arms()
    try:
        return arms.ask_other(event)
    except NotReady as error:
        print_metric(arms.function, FAILED, 1, f"status {error.status}")
        is_openai = event["resource"].startswith(_OPENAI)
        body = refuse(error).body if is_openai else json.dumps({"error": str(error)})
        return {"statusCode": error.status, "headers": {"Content-Type": JSON}, "body": body}


def names_version(event: Mapping[str, Any]) -> bool:
    """Whether a request names a version or an alias: in its path, or as OpenAI's clients do, behind a model's name."""
    path: Mapping[str, str] = event["pathParameters"] or {}
    if "model" in path:
        return "version" in path or "@" in unquote(path["model"])
    try:
        return "@" in json.loads(event["body"] or "")["model"]
    except (ValueError, TypeError, KeyError):
        return False


def _connect() -> "LambdaClient":
    """A client that asks once: a second attempt would be answered, and captured, a second time.

    The session is its own, since capture makes its client in another thread.
    """
    import boto3
    from botocore.config import Config

    once = Config(connect_timeout=1, read_timeout=_PATIENCE_S, retries={"total_max_attempts": 1})
    return boto3.Session().client("lambda", config=once)
