"""A meter counts by name and labels, and says all of it at once."""

import threading

from confstream.meter import BUCKETS_SECONDS, Meter


def test_counts_add_up_by_name_and_labels() -> None:
    meter = Meter()

    meter.count("changes_total", op="put")
    meter.count("changes_total", 2, op="put")
    meter.count("changes_total", op="delete")

    reading = meter.read()
    assert reading.count("changes_total", op="put") == 3
    assert reading.count("changes_total", op="delete") == 1
    assert reading.count("changes_total") == 0


def test_durations_fall_into_every_bucket_that_is_long_enough() -> None:
    meter = Meter()

    meter.observe("took", 0.03, op="get")
    meter.observe("took", 60.0, op="get")

    (found,) = meter.read().distributions.values()
    assert found.within == tuple(int(bound >= 0.03) for bound in BUCKETS_SECONDS)
    assert (found.count, found.sum_seconds) == (2, 60.03)


def test_threads_lose_no_count() -> None:
    meter = Meter()

    def work() -> None:
        for _ in range(1000):
            meter.count("turns_total")

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert meter.read().count("turns_total") == 4000
