"""The public API against its model, for a bounded number of histories."""

from hypothesis import settings

from tests.torture.machine import PublicApi

TestThePublicApi = PublicApi.TestCase
TestThePublicApi.settings = settings(max_examples=15, stateful_step_count=25, deadline=None)
