"""The sandbox as a carrier, one process for the tests of this folder."""

from collections.abc import Iterator

import pytest

from tests.app.telephony.line import SandboxCarrier, sandbox_process


@pytest.fixture(scope="session")
def sandbox() -> Iterator[SandboxCarrier]:
    with sandbox_process() as carrier:
        yield carrier
