"""Cached answers in a Redis."""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from endpoints_gitops.api.answers import Unexpected, run_answer
from endpoints_gitops.api.rate_limiter import REDIS_OUTAGE, connect_redis
from endpoints_gitops.consumer.cache import CachedAnswer
from endpoints_gitops.consumer.errors import CacheUnreachable

if TYPE_CHECKING:
    from redis import Redis

    from endpoints_gitops.api.answers import RunAnswer

_PREFIX: Final = "endpoints-gitops:answer:1:"
_LARGEST: Final = 16 * 2**20
_AT_ONCE: Final = 500


class RedisAnswers:
    """Answers by key in the Redis at `url`, kept for `seconds` and `stale_seconds` by the clock of that Redis.

    A key is stored as its hash, and a value is the JSON of the answer, with the time for which it was stored. Answers
    of more than 16 MiB are not stored. If Redis cannot be used, nothing is found or stored for half a minute, and a
    warning is logged.
    """

    def __init__(self, url: str, seconds: float, stale_seconds: float) -> None:
        self._redis: Redis = connect_redis(url, "the url of a Cache")
        self._seconds = seconds
        self._milliseconds = max(1, int((seconds + stale_seconds) * 1000))
        self._retry_at = 0.0

    def get(self, key: str) -> CachedAnswer | None:
        """Return the answer, perhaps a stale one; None if it is missing, unreadable, or Redis cannot be used."""
        name = _name(key)

        def read() -> tuple[bytes | None, int]:
            pipeline = self._redis.pipeline(transaction=True)
            pipeline.get(name)
            pipeline.pttl(name)
            value, left = pipeline.execute()
            return value, left

        nothing: tuple[bytes | None, int] = (None, 0)
        value, left = self._ask(read, nothing)
        if value is None or left <= 0:
            return None
        stored, _, body = value.partition(b"\n")
        try:
            age = max(0.0, (int(stored) - left) / 1000)
            answer = run_answer(json.loads(body))
        except (ValueError, RecursionError, Unexpected, AttributeError):
            return None  # of something else that uses this Redis; the next answer replaces it
        return CachedAnswer(age, answer, age > self._seconds)

    def put(self, key: str, answer: RunAnswer) -> None:
        """Store an answer."""
        body = json.dumps(answer.raw).encode()
        if len(body) <= _LARGEST:
            value = b"%d\n%s" % (self._milliseconds, body)
            self._ask(lambda: self._redis.set(_name(key), value, px=self._milliseconds), None)

    def clear(self) -> None:
        """Remove all answers from the database, also those of other apps. Raises CacheUnreachable."""
        from redis.exceptions import RedisError

        try:
            for name in self._redis.scan_iter(f"{_PREFIX}*", count=_AT_ONCE):
                self._redis.unlink(name)
        except (RedisError, OSError) as error:
            kind = type(error).__name__  # the text can hold the URL, and with it a password
            message = f"the cache is not cleared: cannot use Redis ({kind})"
            raise CacheUnreachable(message, fix="start that Redis, or correct the url of the cache") from None

    def _ask[T](self, work: Callable[[], T], otherwise: T) -> T:
        from redis.exceptions import RedisError

        if time.monotonic() < self._retry_at:
            return otherwise
        try:
            return work()
        except (RedisError, OSError) as error:
            self._retry_at = time.monotonic() + REDIS_OUTAGE
            kind = type(error).__name__
            logging.getLogger("endpoints_gitops").warning(
                "answers are not cached for %.0f s: cannot use Redis (%s)", REDIS_OUTAGE, kind
            )
            return otherwise


def _name(key: str) -> str:
    return f"{_PREFIX}{hashlib.sha256(key.encode('utf-8', 'surrogatepass')).hexdigest()}"
