"""The sandbox as a carrier, one process for the tests of this folder; fast, so that phones ring out within a second."""

from collections.abc import Iterator

import pytest

from tests.app.telephony.line import SandboxCarrier, sandbox_process


@pytest.fixture(scope="session")
def sandbox() -> Iterator[SandboxCarrier]:
    with sandbox_process(speed=50) as carrier:
        yield carrier
