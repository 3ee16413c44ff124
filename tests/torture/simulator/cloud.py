"""A bucket in memory behind the product's own S3 store: every way in which a network and a server fail.

The faults are answers and exceptions as s3fs and botocore give them, so what
the product makes of them is part of what is tested.
"""

import random
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from confstream.store.s3 import S3Store
from tests.torture.simulator.scheduler import SECOND, Scheduler

PUT_FAULTS = (
    "refused", "throttled", "failed before", "lost", "late", "conflict", "sent twice", "refused after sending",
)  # fmt: skip
"""What can become of an exclusive put; *lost* is applied with its answer gone, *late* arrives after it was given up."""

GET_FAULTS = ("refused", "throttled", "silent", "flipped", "cut")
OTHER_FAULTS = ("refused", "throttled", "failed before", "lost")
_LATE_SECONDS = (1.0, 30.0, 600.0, 9000.0)


class ClientError(Exception):
    """botocore's, as far as anybody looks at it."""

    def __init__(self, status: int, code: str, message: str = "") -> None:
        super().__init__(f"{status} {code}")
        self.response = {
            "Error": {"Code": code, "Message": message},
            "ResponseMetadata": {"HTTPStatusCode": status},
        }


class EndpointConnectionError(Exception):
    """No connection."""


class ReadTimeoutError(Exception):
    """Sent, and no answer."""


class ConnectionClosedError(Exception):
    """Sent, and the connection went."""


@dataclass
class Weather:
    """How likely a request goes wrong, how long it takes, and how old a listing may be."""

    fault_rate: float = 0.0
    spoiled_rate: float = 0.0
    delay_seconds: float = 0.05
    stale_seconds: float = 0.0
    page_keys: int = 1000
    faults: Counter[str] = field(default_factory=Counter)


class Bucket:
    """The objects, what they were a while ago, and who is told when they change."""

    def __init__(self, scheduler: Scheduler, weather: Weather, changed: Callable[[str, str, bytes], None]) -> None:
        self.objects: dict[str, bytes] = {}
        self.weather = weather
        self._scheduler = scheduler
        self._changed = changed
        self._past: list[tuple[int, str, bool]] = []

    def create(self, key: str, body: bytes) -> bool:
        """Create *key*; return whether it was not there."""
        if key in self.objects:
            return False
        self._set(key, body)
        self._changed("create", key, body)
        return True

    def replace(self, key: str, body: bytes) -> None:
        self._set(key, body)
        self._changed("replace", key, body)

    def delete(self, key: str) -> None:
        if key in self.objects:
            body = self.objects.pop(key)
            self._past.append((self._scheduler.now_ns, key, True))
            self._changed("delete", key, body)

    def keys(self, stale_ns: int = 0) -> list[str]:
        """Return the keys as they were *stale_ns* ago, sorted."""
        if not stale_ns:
            return sorted(self.objects)
        keys, horizon_ns = set(self.objects), self._scheduler.now_ns - stale_ns
        for when_ns, key, was_there in reversed(self._past):
            if when_ns <= horizon_ns:
                break
            if was_there:
                keys.add(key)
            else:
                keys.discard(key)
        return sorted(keys)

    def _set(self, key: str, body: bytes) -> None:
        if key not in self.objects:
            self._past.append((self._scheduler.now_ns, key, False))
        self.objects[key] = body


class Client:
    """Stands for ``S3Client``: one process's connection to a bucket."""

    endpoint = "https://s3.simulated"
    server_date = ""
    connection = object()

    def __init__(self, bucket: Bucket, scheduler: Scheduler, draw: random.Random, step: Callable[[str], None]) -> None:
        self._bucket = bucket
        self._scheduler = scheduler
        self._draw = draw
        self._step = step

    def renew(self, connection: object) -> None:
        del connection

    def close(self) -> None:
        return

    def request(self, operation: str, **parameters: Any) -> dict[str, Any]:
        """Do what the server does, or what goes wrong on the way."""
        key = str(parameters.get("Key", parameters.get("Prefix", "")))
        self._step(f"{operation} {key}")
        self._travel()
        answer: dict[str, Any] = getattr(self, f"_{operation}")(parameters)
        self._travel()
        self._step(f"{operation} {key} answered")
        return {"ResponseMetadata": {"HTTPStatusCode": 200}, "ETag": "e", **answer}

    def _travel(self) -> None:
        weather = self._bucket.weather
        self._scheduler.sleep(int(self._draw.random() * weather.delay_seconds * SECOND) + 1)

    def _fault(self, faults: tuple[str, ...], rate: float | None = None) -> str:
        weather = self._bucket.weather
        if self._draw.random() >= (weather.fault_rate if rate is None else rate):
            return ""
        fault = self._draw.choice(faults)
        weather.faults[fault] += 1
        self._step(f"fault: {fault}")
        self._before(fault)
        return fault

    def _before(self, fault: str) -> None:
        """Fail where nothing has happened yet."""
        if fault == "refused":
            raise EndpointConnectionError("refused")
        if fault == "throttled":
            status, code = self._draw.choice([(503, "SlowDown"), (429, "TooManyRequests"), (429, "")])
            raise ClientError(status, code)

    def _silence(self) -> Exception:
        self._scheduler.sleep(int(self._draw.random() * 15 * SECOND))
        return self._draw.choice([ReadTimeoutError("silent"), ConnectionClosedError("reset"), ClientError(500, "")])

    def _put_object(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        outgoing, is_exclusive = parameters["Body"], "IfNoneMatch" in parameters
        outgoing.watch()
        fault = self._fault(PUT_FAULTS if is_exclusive else OTHER_FAULTS)
        body = outgoing.read()
        if fault == "failed before":
            raise self._silence()
        if fault == "conflict":
            raise ClientError(409, "ConditionalRequestConflict")
        if fault == "late":
            self._arrive_late(parameters["Key"], body)
            raise self._silence()
        self._apply(parameters["Key"], body, is_exclusive=is_exclusive)
        if fault == "lost":
            raise self._silence()
        if fault == "sent twice":
            outgoing.seek(0)
            self._apply(parameters["Key"], outgoing.read(), is_exclusive=is_exclusive)
        if fault == "refused after sending":
            outgoing.seek(0)
            outgoing.read()
            raise self._draw.choice([ClientError(503, "SlowDown"), ClientError(409, "OperationAborted")])
        return {}

    def _apply(self, key: str, body: bytes, *, is_exclusive: bool) -> None:
        if not is_exclusive:
            self._bucket.replace(key, body)
        elif not self._bucket.create(key, body):
            # AWS says which condition failed; others say nothing, or answer without a body.
            raise ClientError(412, self._draw.choice(["PreconditionFailed", "412", ""]))

    def _arrive_late(self, key: str, body: bytes) -> None:
        delay_seconds = self._draw.random() * self._draw.choice(_LATE_SECONDS)

        def arrive() -> None:
            self._scheduler.sleep(int(delay_seconds * SECOND))
            self._step(f"late put of {key} arrives")
            self._bucket.create(key, body)

        self._scheduler.spawn(arrive, f"late {key}", None)

    def _get_object(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        if self._fault(GET_FAULTS[:3]):
            raise self._silence()
        body = self._bucket.objects.get(parameters["Key"])
        if body is None:
            raise ClientError(404, "NoSuchKey")
        status = 200
        if "Range" in parameters:
            first, _, last = parameters["Range"].removeprefix("bytes=").partition("-")
            if int(first) >= len(body):
                raise ClientError(416, "InvalidRange")
            body, status = body[int(first) : int(last) + 1 if last else None], 206
        spoiled = self._fault(GET_FAULTS[3:], self._bucket.weather.spoiled_rate)
        if spoiled == "cut":
            body = body[: self._draw.randrange(len(body) + 1)]
        elif spoiled and body:
            at = self._draw.randrange(len(body))
            body = body[:at] + bytes([body[at] ^ 1 << self._draw.randrange(8)]) + body[at + 1 :]
        return {"Body": body, "ResponseMetadata": {"HTTPStatusCode": status}}

    def _list_objects_v2(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        if self._fault((*OTHER_FAULTS[:2], "silent")):
            raise self._silence()
        weather = self._bucket.weather
        keys = self._bucket.keys(int(self._draw.random() * weather.stale_seconds * SECOND))
        keys = [key for key in keys if key.startswith(parameters["Prefix"])]
        start = bisect_right(keys, parameters.get("ContinuationToken", ""))
        page, size = keys[start : start + weather.page_keys], weather.page_keys
        more = {"IsTruncated": True, "NextContinuationToken": page[-1]} if len(keys) > start + size else {}
        return {"Name": "bucket", "Contents": [{"Key": key} for key in page], **more}

    def _delete_object(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        fault = self._fault(OTHER_FAULTS)
        if fault == "failed before":
            raise self._silence()
        self._bucket.delete(parameters["Key"])
        if fault:
            raise self._silence()
        return {}

    def _delete_objects(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        fault = self._fault((*OTHER_FAULTS, "some"))
        if fault == "failed before":
            raise self._silence()
        keys = [one["Key"] for one in parameters["Delete"]["Objects"]]
        count = self._draw.randrange(len(keys)) if fault == "some" else len(keys)
        for key in keys[:count]:
            self._bucket.delete(key)
            self._step(f"deleted {key}")
        if fault == "lost":
            raise self._silence()
        errors = [{"Key": key, "Code": "InternalError", "Message": "some"} for key in keys[count:]]
        return {"Deleted": [{"Key": key} for key in keys[:count]], "Errors": errors}


def open_bucket(
    bucket: Bucket, scheduler: Scheduler, draw: random.Random, step: Callable[[str], None], clock: Any
) -> S3Store:
    """Return the product's own store, with *bucket* where its client would be."""
    store = S3Store("simulated", clock=clock)
    store._client = Client(bucket, scheduler, draw, step)  # type: ignore[assignment]
    return store
