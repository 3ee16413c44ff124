"""S3 on a bad day: what breaks between us and the server, and what is said about it."""

import threading
from collections.abc import Callable

import pytest

from confstream.clock import SystemClock
from confstream.errors import (
    AccessDeniedError,
    ConfstreamError,
    IntegrityError,
    NoExclusiveCreateError,
    ObjectExistsError,
    ObjectMissingError,
    OutcomeUnknownError,
    UnavailableError,
)
from confstream.store import RetryingStore, Store, keys, open_store, prove_exclusive_create
from confstream.store.retry import Retry
from tests.proxy import CuttingProxy, error_body
from tests.servers import S3Server, environment

CLOCK = SystemClock()
FAR_AWAY = "http://127.0.0.1:1"


def _open(url: str, client: str) -> Store:
    return open_store(url, storage_options={"s3_client": client})


def outcome(call: Callable[[], object]) -> type[Exception] | None:
    try:
        call()
    except ConfstreamError as error:
        return type(error)
    return None


def test_p11_a_put_and_a_get_are_one_request_each(proxied: Store, moto_proxy: CuttingProxy) -> None:
    proxied.put("log/1", b"x" * 10_000)
    assert moto_proxy.counts == {"PUT": 1}
    assert moto_proxy.seen[0].headers["if-none-match"] == "*"
    assert "expect" not in moto_proxy.seen[0].headers

    moto_proxy.reset()
    proxied.get("log/1")
    proxied.get("log/1", 5, 10)
    with pytest.raises(ObjectMissingError):
        proxied.get("log/2")
    assert moto_proxy.counts == {"GET": 3}


def test_p11_listing_replacing_and_deleting_take_one_request_each(
    proxied: Store, moto_proxy: CuttingProxy, client: str
) -> None:
    for number in range(3):
        proxied.put(f"log/{number}", b"x")
    moto_proxy.reset()

    proxied.list("log/")
    proxied.replace("heartbeat/w", b"x")
    proxied.delete(["log/0"])
    proxied.delete(["log/0", "log/1", "log/2"])

    several = {"DELETE": 1, "POST": 1} if client == "s3fs" else {"DELETE": 4}
    assert moto_proxy.counts == {"GET": 1, "PUT": 1, **several}


def test_a_new_object_of_another_writer_is_visible_at_once(proxied: Store, direct: Store) -> None:
    for number in range(3):
        with pytest.raises(ObjectMissingError):
            proxied.get(f"log/{number}")
        direct.put(f"log/{number}", b"x")
        assert proxied.get(f"log/{number}") == b"x"
        assert len(proxied.list("log/")) == number + 1


@pytest.mark.parametrize("times", [1, 2])
def test_p4_a_lost_acknowledgement_is_never_success_and_never_failure(
    proxied: Store, direct: Store, moto_proxy: CuttingProxy, times: int
) -> None:
    moto_proxy.fail("cut", method="PUT", times=times)

    with pytest.raises((ObjectExistsError, OutcomeUnknownError)):
        proxied.put("log/1", b"mine")

    assert direct.get("log/1") == b"mine"


def test_p4_a_connection_reset_before_the_server_saw_anything_is_unknown_or_done(
    proxied: Store, direct: Store, moto_proxy: CuttingProxy
) -> None:
    moto_proxy.fail("reset", method="PUT", times=9)

    with pytest.raises(OutcomeUnknownError, match="may have been created"):
        proxied.put("log/1", b"mine")

    assert direct.list() == []


def test_p4_a_refusal_after_a_hidden_second_sending_says_nothing_about_the_first(
    proxied: Store, direct: Store, moto_proxy: CuttingProxy
) -> None:
    moto_proxy.fail("cut", method="PUT", times=1)
    moto_proxy.fail("status", method="PUT", status=403, body=error_body("AccessDenied"))

    found = outcome(lambda: proxied.put("log/1", b"mine"))

    # Whether the HTTP client sends again by itself is its affair; claiming that nothing happened would be ours.
    assert found is OutcomeUnknownError
    assert direct.get("log/1") == b"mine"


def test_p7_what_a_server_says_to_a_put_is_understood(proxied: Store, moto_proxy: CuttingProxy) -> None:
    expected = {
        (500, "InternalError"): OutcomeUnknownError,
        (502, "BadGateway"): OutcomeUnknownError,
        (503, "ServiceUnavailable"): OutcomeUnknownError,
        (504, "GatewayTimeout"): OutcomeUnknownError,
        (408, "RequestTimeout"): OutcomeUnknownError,
        (400, "RequestTimeout"): OutcomeUnknownError,
        (503, "SlowDown"): UnavailableError,
        (429, "TooManyRequests"): UnavailableError,
        (409, "ConditionalRequestConflict"): UnavailableError,
        (412, "PreconditionFailed"): ObjectExistsError,
        (403, "AccessDenied"): AccessDeniedError,
        (403, "SignatureDoesNotMatch"): AccessDeniedError,
        (403, "InvalidAccessKeyId"): AccessDeniedError,
        (403, "RequestTimeTooSkewed"): AccessDeniedError,
        (400, "ExpiredToken"): AccessDeniedError,
        (400, "InvalidRequest"): AccessDeniedError,
        (404, "NoSuchBucket"): AccessDeniedError,
        (413, "EntityTooLarge"): AccessDeniedError,
        (501, "NotImplemented"): NoExclusiveCreateError,
    }
    found = {}

    for status, code in expected:
        moto_proxy.reset()
        moto_proxy.fail("status", method="PUT", status=status, body=error_body(code), times=9)
        found[status, code] = outcome(lambda: proxied.put("log/1", b"x"))

    assert found == expected


def test_a_412_is_exists_with_and_without_the_condition(proxied: Store, moto_proxy: CuttingProxy) -> None:
    for extra in ("", "<Condition>If-None-Match</Condition>"):
        moto_proxy.fail("status", method="PUT", status=412, body=error_body("PreconditionFailed", extra))

        with pytest.raises(ObjectExistsError, match="log/1 exists already"):
            proxied.put("log/1", b"x")


def test_a_409_for_a_key_that_is_there_is_exists(proxied: Store, direct: Store, moto_proxy: CuttingProxy) -> None:
    direct.put("log/1", b"theirs")
    moto_proxy.fail("status", method="PUT", status=409, body=error_body("ConditionalRequestConflict"))

    with pytest.raises(ObjectExistsError):
        proxied.put("log/1", b"mine")


def test_p7_what_a_server_says_to_a_get_is_understood(proxied: Store, moto_proxy: CuttingProxy) -> None:
    expected = {
        (500, "InternalError"): UnavailableError,
        (503, "SlowDown"): UnavailableError,
        (403, "AccessDenied"): AccessDeniedError,
        (404, "NoSuchKey"): ObjectMissingError,
        (404, "NoSuchBucket"): AccessDeniedError,
        (404, ""): AccessDeniedError,
    }
    found = {}

    for status, code in expected:
        body = error_body(code) if code else b"nothing here"
        moto_proxy.reset()
        moto_proxy.fail("status", method="GET", status=status, body=body, times=9)
        found[status, code] = outcome(lambda: proxied.get("log/1"))

    assert found == expected


def test_p8_a_web_server_that_is_no_s3_is_not_an_empty_replica(proxied: Store, moto_proxy: CuttingProxy) -> None:
    moto_proxy.fail("status", method="GET", status=200, body=b"<html><body>Welcome</body></html>", times=9)

    with pytest.raises(UnavailableError, match="does not answer as S3 does"):
        proxied.list()


def test_p14_an_object_larger_than_any_is_refused_before_it_is_read(
    proxied: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxied.put("log/1", b"x" * 1000)
    monkeypatch.setattr(keys, "OBJECT_SIZE_MAX", 999)

    with pytest.raises(IntegrityError, match="no object has more than 999"):
        proxied.get("log/1")

    assert proxied.get("log/1", 0, 4) == b"xxxx"


def test_a_get_that_was_cut_short_is_an_error_and_not_a_short_object(proxied: Store, moto_proxy: CuttingProxy) -> None:
    proxied.put("log/1", b"0123456789" * 1000)
    moto_proxy.fail("truncate", method="GET", times=9)

    with pytest.raises(UnavailableError, match="cannot read log/1"):
        proxied.get("log/1")


def test_p7_a_refused_connection_is_reported_within_5_seconds_with_the_endpoint(
    proxied: Store, moto_proxy: CuttingProxy
) -> None:
    endpoint = moto_proxy.endpoint
    moto_proxy.refuse()
    start = CLOCK.elapsed_seconds()
    calls: list[Callable[[], object]] = [
        lambda: proxied.put("log/1", b"x"),
        lambda: proxied.get("log/1"),
        proxied.list,
        lambda: proxied.delete(["log/1"]),
        lambda: proxied.replace("heartbeat/w", b"x"),
    ]

    for call in calls:
        with pytest.raises(UnavailableError, match="cannot reach") as caught:
            call()
        assert type(caught.value) is UnavailableError
        assert endpoint in str(caught.value)

    assert CLOCK.elapsed_seconds() - start < 5


def test_p7_the_first_failure_is_told_at_once_and_not_after_all_the_retries(
    client: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment(FAR_AWAY).items():
        monkeypatch.setenv(name, value)
    stop = threading.Event()
    told: list[Retry] = []

    def on_retry(retry: Retry) -> None:
        told.append(retry)
        stop.set()

    store = RetryingStore(_open("s3://bucket/replica", client), SystemClock(), 60.0, on_retry=on_retry, stop=stop)
    start = CLOCK.elapsed_seconds()

    with pytest.raises(UnavailableError, match="cannot reach"):
        store.list()

    assert CLOCK.elapsed_seconds() - start < 5
    assert told[0].attempt == 1


@pytest.mark.parametrize("operation", ["put", "get", "list"])
def test_a_peer_that_never_answers_is_given_up_at_the_deadline(
    direct: Store, moto_proxy: CuttingProxy, operation: str, client: str
) -> None:
    options = {"endpoint_url": moto_proxy.endpoint, "s3_client": client}
    store = open_store(direct.url, storage_options=options, timeout_seconds=1.0)
    moto_proxy.fail("blackhole", method="*", times=99)
    calls: dict[str, Callable[[], object]] = {
        "put": lambda: store.put("log/1", b"x"),
        "get": lambda: store.get("log/1"),
        "list": store.list,
    }

    with pytest.raises(OutcomeUnknownError if operation == "put" else UnavailableError, match="no answer within 1 s"):
        calls[operation]()


def test_a_large_put_to_a_peer_that_stops_reading_ends_by_the_deadline(
    direct: Store, moto_proxy: CuttingProxy, client: str
) -> None:
    options = {"endpoint_url": moto_proxy.endpoint, "s3_client": client}
    store = open_store(direct.url, storage_options=options, timeout_seconds=2.0)
    # The client is there, so that all of the time goes to the put.
    assert store.list() == []
    moto_proxy.fail("blackhole", method="PUT", times=99)

    # The proxy holds what it took until the end of the test: it was this side that ended the call.
    with pytest.raises(OutcomeUnknownError, match="no answer within 2 s"):
        store.put("blob/b", b"x" * 20_000_000)


@pytest.mark.parametrize("client", ["s3fs"], indirect=True)
def test_bulk_deletes_look_at_each_outcome(proxied: Store, moto_proxy: CuttingProxy) -> None:
    prefix = proxied.url.split("/", 3)[3]
    answer = (
        f"<DeleteResult><Deleted><Key>{prefix}/log/1</Key></Deleted>"
        f"<Error><Key>{prefix}/log/2</Key><Code>AccessDenied</Code><Message>no</Message></Error></DeleteResult>"
    ).encode()
    moto_proxy.fail("status", method="POST", status=200, body=answer)

    with pytest.raises(AccessDeniedError, match="cannot delete log/2"):
        proxied.delete(["log/1", "log/2"])


@pytest.mark.parametrize("client", ["s3fs"], indirect=True)
def test_keys_that_a_bulk_delete_passes_over_are_deleted_one_by_one(
    proxied: Store, direct: Store, moto_proxy: CuttingProxy
) -> None:
    for number in range(3):
        direct.put(f"log/{number}", b"x")
    moto_proxy.fail("status", method="POST", status=200, body=b"<DeleteResult></DeleteResult>")

    proxied.delete([f"log/{number}" for number in range(3)])

    assert direct.list() == []
    assert moto_proxy.counts == {"POST": 1, "DELETE": 3}


@pytest.mark.parametrize("client", ["s3fs"], indirect=True)
def test_a_server_without_bulk_deletes_is_asked_for_them_once(
    proxied: Store, direct: Store, moto_proxy: CuttingProxy
) -> None:
    for number in range(4):
        direct.put(f"log/{number}", b"x")
    moto_proxy.fail("status", method="POST", status=501, body=error_body("NotImplemented"), times=9)

    proxied.delete(["log/0", "log/1"])
    proxied.delete(["log/2", "log/3"])

    assert direct.list() == []
    assert moto_proxy.counts == {"POST": 1, "DELETE": 4}


def test_p8_a_missing_bucket_is_not_an_empty_replica(
    s3_server: S3Server, use_s3: Callable[[S3Server], str], client: str
) -> None:
    use_s3(s3_server)
    store = _open("s3://no-such-bucket-here/replica", client)
    calls: list[Callable[[], object]] = [
        store.list,
        lambda: store.get("log/1"),
        lambda: store.put("log/1", b"x"),
    ]

    for call in calls:
        with pytest.raises(AccessDeniedError, match="no such bucket: 'no-such-bucket-here'"):
            call()


def test_keys_outside_the_prefix_are_neither_listed_nor_touched(
    s3_server: S3Server, use_s3: Callable[[S3Server], str], client: str
) -> None:
    url = use_s3(s3_server)
    store, neighbour = _open(url, client), _open(f"{url}-2", client)
    store.put("log/1", b"x")
    neighbour.put("log/1", b"y")

    store.delete(store.list())

    assert neighbour.list() == ["log/1"]
    assert store.list() == []


def test_p5_a_server_that_ignores_the_condition_is_found_out(
    rclone_s3: S3Server, use_s3: Callable[[S3Server], str], client: str
) -> None:
    store = _open(use_s3(rclone_s3), client)

    with pytest.raises(NoExclusiveCreateError, match="--unsafe-single-writer"):
        prove_exclusive_create(store)

    assert store.list() == []


def test_the_proof_is_not_misled_by_a_lost_acknowledgement(
    proxied: Store, direct: Store, moto_proxy: CuttingProxy
) -> None:
    moto_proxy.fail("cut", method="PUT", times=2)

    prove_exclusive_create(proxied)

    assert direct.list() == []


@pytest.mark.parametrize("lie", ["short", "long", "truncate"])
def test_p12_an_answer_whose_length_is_a_lie_put_the_content_of_an_object_into_the_error(
    proxied: Store, direct: Store, moto_proxy: CuttingProxy, lie: str
) -> None:
    content = b"password: canary-7261\r\n" * 400
    direct.put("blob/1", content)
    moto_proxy.fail(lie, method="GET", times=1)
    said = ""

    for _ in range(3):
        try:
            proxied.get("blob/1")
        except UnavailableError as error:
            said += f"{error} {error.__cause__!r}" if lie == "long" else f"{error}"

    assert "canary" not in said
    assert proxied.get("blob/1") == content
