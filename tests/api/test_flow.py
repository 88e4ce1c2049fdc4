"""The flow without a driver: only sleeping moves the clock, and answers come from a list."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from endpoints_gitops.api import errors
from endpoints_gitops.api.connection import Connection
from endpoints_gitops.api.flow import ClientContext, RetryPolicy, Waits, exchange
from endpoints_gitops.api.rate_limiter import LONGEST_WAIT
from endpoints_gitops.api.refusals import retry_after
from endpoints_gitops.api.wire import Answer, NoAnswer, NotSent, Request, Sleep
from endpoints_gitops.errors import CredentialsError
from endpoints_gitops.model.secret import Secret

GET = Request(method="GET", path="/api/projects/1/endpoints/")
PATCH = Request(method="PATCH", path="/api/projects/1/endpoints/e/", body={}, repeatable=False, names="e")
DONE = Answer(status=200, headers={}, body=b"{}")


class Played:
    """An exchange played to its end, and what it did on the way."""

    def __init__(self, *answers, request=GET, max_wait=60.0, key="phx_k", seconds_each=0.0, rate_limiter=None, **more):
        self.clock = 0.0
        self.is_stopped = more.pop("is_stopped", False)
        self.sleeps, self.sends, self.notices = [], [], []
        retry_policy = RetryPolicy(now=lambda: self.clock, jitter=lambda _, most: most)
        connection = Connection(host="https://h.test", project_id=1, key=Secret(key), max_wait=max_wait, **more)
        context = ClientContext(
            connection=connection, retry_policy=retry_policy, notice=self.notices.append, rate_limiter=rate_limiter
        )
        self.result = self.error = None
        try:
            self._play(exchange(context, request), answers, seconds_each)
        except errors.ApiError as error:
            self.error = error

    def _play(self, flow, answers, seconds_each):
        """The last answer is given for ever."""
        happened = None
        try:
            while True:
                step = flow.send(happened)
                if isinstance(step, Sleep):
                    self.sleeps.append(step.seconds)
                    self.clock += 0.0 if self.is_stopped else step.seconds
                    happened = None
                else:
                    happened = answers[min(len(self.sends), len(answers) - 1)]
                    self.sends.append(step)
                    self.clock += seconds_each
        except StopIteration as returned:
            self.result = returned.value


def answered(status, **headers):
    return Answer(status=status, headers=headers, body=b'{"detail": "no"}')


def test_pauses_grow_to_a_limit_and_end_within_the_wait():
    played = Played(answered(500))
    assert played.sleeps[:6] == [0.5, 1, 2, 4, 8, 10]
    assert sum(played.sleeps) < 60
    assert (played.error.attempts, played.error.seconds) == (len(played.sends), sum(played.sleeps))


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_in_seconds(status):
    played = Played(answered(status, **{"retry-after": "7"}), DONE)
    assert played.result is DONE
    assert played.sleeps == [7.5]
    assert played.notices[0].startswith("waiting 8 s: GET /api/projects/1/endpoints/: ")


@pytest.mark.parametrize("zone", ["GMT", "-0000"])
def test_retry_after_as_a_date(zone):
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=20)).replace("+0000", zone)
    (pause,) = Played(answered(503, **{"retry-after": date}), DONE).sleeps
    assert 18 < pause <= 20.5


@pytest.mark.parametrize(
    ("text", "pause"), [("soon", 0.5), ("nan", 0.5), ("inf", 0.5), ("-5", 0.5), ("Wed, 21 Oct 2015 07:28:00 GMT", 0.5)]
)
def test_retry_after_that_makes_no_sense_or_is_over(text, pause):
    assert Played(answered(503, **{"retry-after": text}), DONE).sleeps == [pause]


class Pauses:
    """A rate limiter that keeps the pauses it is asked for."""

    is_remote = False

    def __init__(self):
        self.pauses = []

    def acquire(self, **_):
        return 0.0

    def pause(self, seconds, **_):
        self.pauses.append(seconds)


ODD_WAITS = ["1e300", "1e9", "9" * 5000, "Wed, 21 Oct 2099 07:28:00 GMT", "Wed, 21 Oct 9999 07:28:00 GMT", "3601"]


@pytest.mark.parametrize("text", ODD_WAITS)
def test_a_retry_after_beyond_every_window_is_cut_and_not_remembered(text):
    rate_limiter = Pauses()
    played = Played(answered(429, **{"retry-after": text}), rate_limiter=rate_limiter, max_wait=10)
    assert played.error.retry_after in (LONGEST_WAIT, None)
    assert rate_limiter.pauses == []
    assert Played(answered(429, **{"retry-after": "3600"}), rate_limiter=rate_limiter).error.retry_after == 3600
    assert rate_limiter.pauses == [3600]


@given(st.one_of(st.text(), st.floats().map(str), st.integers().map(str), st.datetimes().map(format_datetime)))
def test_any_retry_after_is_a_wait_within_the_longest_window(text):
    wait = retry_after(answered(429, **{"retry-after": text}))
    assert wait is None or 0 <= wait <= LONGEST_WAIT


@pytest.mark.parametrize("headers", [{}, {"retry-after": "1"}, {"retry-after": "0"}])
def test_a_refusal_ends_under_a_stopped_clock(headers):
    """As in a test that stops time: nothing moves the clock, and sleeping counts."""
    played = Played(answered(429, **headers), is_stopped=True)
    assert isinstance(played.error, errors.Throttled)
    assert 50 < sum(played.sleeps) <= 60


def test_a_rate_limit_error_ends_under_a_stopped_clock():
    rate_limiter = Pauses()
    rate_limiter.acquire = lambda **_: 7.0
    played = Played(DONE, rate_limiter=rate_limiter, is_stopped=True)
    assert isinstance(played.error, errors.BudgetSpent)
    assert 50 < sum(played.sleeps) <= 60


def test_one_answer_is_waited_for_as_long_as_the_read_timeout_says():
    assert Played(DONE, max_wait=100).sends[0].read_seconds == 60
    assert Played(DONE, max_wait=100, read_timeout=90).sends[0].total_seconds == 90
    assert Played(DONE, max_wait=50, read_timeout=90).sends[0].total_seconds == 50
    assert Played(DONE, max_wait=100, read_timeout=5, request=PATCH).sends[0].total_seconds == 100


def test_a_long_wait_is_counted_down():
    rate_limiter = Pauses()
    waits = iter([70.0, 0.0])
    rate_limiter.acquire = lambda **_: next(waits)
    played = Played(DONE, rate_limiter=rate_limiter, max_wait=100)
    assert played.sleeps[:2] == [30, 30]
    assert sum(played.sleeps) == pytest.approx(70.05)
    assert [notice.partition(":")[0] for notice in played.notices] == [
        "waiting 70 s",
        "waiting 40 s more",
        "waiting 10 s more",
    ]


def test_all_who_wait_share_one_announcement():
    waits = Waits()
    assert [waits.announces(until) for until in (40.0, 41.0, 39.0, 45.0, 46.5)] == [True, False, False, True, False]


def test_a_wait_that_is_too_long_is_not_begun():
    played = Played(answered(429, **{"retry-after": "3000"}))
    assert (played.sleeps, len(played.sends)) == ([], 1)
    assert played.error.retry_after == 3000


@given(
    st.lists(st.sampled_from([answered(429), answered(500), answered(503, **{"retry-after": "3"}), NotSent("x")])),
    st.floats(0.1, 100),
    st.floats(0, 5),
)
def test_no_try_is_begun_after_the_wait_is_over(ended, max_wait, seconds_each):
    played = Played(*ended, NoAnswer(reason="hung"), max_wait=max_wait, seconds_each=seconds_each)
    assert played.error is not None
    assert played.clock - seconds_each < max_wait
    assert all(send.total_seconds <= max_wait for send in played.sends)


@given(st.sampled_from([NoAnswer(reason="cut"), NoAnswer(reason="cut", status=200), answered(500), answered(503)]))
def test_a_write_that_may_have_succeeded_is_not_repeated(ended):
    played = Played(ended, DONE, request=PATCH)
    assert isinstance(played.error, errors.LostAnswer)
    assert len(played.sends) == 1


@given(
    st.lists(st.sampled_from([NotSent("refused"), answered(429), answered(429, **{"retry-after": "1"})]), max_size=4)
)
def test_a_write_that_cannot_have_succeeded_is_repeated(ended):
    played = Played(*ended, DONE, request=PATCH)
    assert played.result is DONE
    assert len(played.sends) == len(ended) + 1


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 405, 409, 415])
def test_a_refusal_is_final(status):
    assert len(Played(answered(status), DONE).sends) == 1


@pytest.mark.parametrize("code", ["query_timeout", "query_memory_limit", "query_too_large", "query_estimated_too_slow"])
def test_a_400_of_type_server_error_is_final(code):
    body = b'{"type": "server_error", "code": "%s", "detail": "x", "attr": null}' % code.encode()
    played = Played(Answer(status=400, headers={}, body=body), DONE)
    assert isinstance(played.error, errors.InvalidQuery)
    assert len(played.sends) == 1


def test_a_write_is_waited_for_as_long_as_there_is_time():
    assert (Played(DONE).sends[0].read_seconds, Played(DONE, request=PATCH).sends[0].read_seconds) == (60, 60)


class Spent:
    """A rate limiter that answers with these waits."""

    is_remote = False

    def __init__(self, *waits):
        self.waits = list(waits)
        self.paused = []

    def acquire(self, *, materialized):
        assert not materialized
        return self.waits.pop(0) if self.waits else 0.0

    def pause(self, seconds, *, materialized):
        self.paused.append((seconds, materialized))


def test_a_wait_for_the_rate_limiter_counts_and_is_reported():
    played = Played(DONE, rate_limiter=Spent(12.0, 3.0))
    assert played.sleeps == [12.05, 3.05]
    assert played.notices == [
        "waiting 12 s: the rate limit of this key is used up",
        "waiting 3 s: the rate limit of this key is used up",
    ]


def test_a_rate_limit_that_frees_up_too_late_is_an_error_without_a_request():
    played = Played(DONE, rate_limiter=Spent(50.0, 50.0))
    assert isinstance(played.error, errors.BudgetSpent)
    assert (played.sends, played.error.exit_code) == ([], 4)


def test_a_429_pauses_the_rate_limiter():
    spent = Spent()
    Played(answered(429, **{"retry-after": "7"}), answered(429), DONE, rate_limiter=spent)
    assert spent.paused == [(7.0, False)]


def test_a_project_secret_key_is_recognized_before_any_request():
    with pytest.raises(CredentialsError, match="needs a personal API key"):
        Played(DONE, key="phs_k")
    run = Request(method="POST", path="/api/projects/1/endpoints/e/run/", with_project_secret=True)
    assert Played(DONE, key="phs_k", request=run).result is DONE
