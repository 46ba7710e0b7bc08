"""Who may ask, how much at a time, and whether this server wants to be asked at all; shared by HTTP and gRPC."""

import hmac
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from threading import Lock

from pawl.errors import NotReady, SettingsError, TooBusy, Unauthorized

_KEY_LENGTH = 16


class Admission:
    """Checks API keys and counts the requests under way and their bytes; without keys everybody may ask."""

    def __init__(self, keys: Sequence[str], limit: int, byte_limit: int) -> None:
        self._keys = [key.encode() for key in keys]
        self._limit = limit
        self._byte_limit = byte_limit
        self._lock = Lock()
        self.in_flight = 0
        self.bytes_held = 0
        self.has_loaded = False
        self.is_draining = False

    def check_ready(self) -> None:
        """NotReady until the models have been opened, and from the moment on that the server is told to end."""
        if self.is_draining:
            raise NotReady("this server is about to end: ask another")
        if not self.has_loaded:
            raise NotReady("the models are being opened: ask again soon")

    def check_key(self, key: str | None, authorization: str | None) -> None:
        """Unauthorized unless the header x-api-key, or a bearer token, is one of the keys."""
        scheme, _, token = (authorization or "").partition(" ")
        given = (key or (token.strip() if scheme.lower() == "bearer" else "")).encode()
        # Each is compared, so that the time taken does not tell which key came close.
        if self._keys and not sum(hmac.compare_digest(given, each) for each in self._keys):
            raise Unauthorized("want an API key: the header x-api-key, or Authorization: Bearer")

    @contextmanager
    def enter(self) -> Generator[None]:
        """Count a request while it is answered; TooBusy when there are too many."""
        with self._lock:
            if self.in_flight >= self._limit:
                raise TooBusy(f"{self._limit} requests are being answered: try again soon")
            self.in_flight += 1
        try:
            yield
        finally:
            with self._lock:
                self.in_flight -= 1

    @contextmanager
    def hold(self) -> Generator[Callable[[int], None]]:
        """Counts the bytes of a body as they come, and until its request is answered; TooBusy when there are too many.

        What is told to come does not count before it is here: to say so costs a client nothing.
        """
        held = 0

        def count(size: int) -> None:
            nonlocal held
            with self._lock:
                if self.bytes_held + size > self._byte_limit:
                    raise TooBusy(f"bodies of {self._byte_limit} bytes are under way: try again soon")
                self.bytes_held += size
                held += size

        try:
            yield count
        finally:
            with self._lock:
                self.bytes_held -= held


def parse_keys(text: str) -> list[str]:
    """The API keys in a comma-separated list; SettingsError when one is easily guessed."""
    keys = [key.strip() for key in text.split(",") if key.strip()]
    if any(len(key) < _KEY_LENGTH or not key.isascii() for key in keys):
        raise SettingsError(f"API_KEYS: want keys of at least {_KEY_LENGTH} ASCII characters, joined by commas")
    return keys
