"""The sandbox as a carrier, one process for the tests of this folder."""

from collections.abc import AsyncIterator, Iterator

import pytest

from callwright.app.settings import Settings
from callwright.app.telephony.twilio_carrier import TwilioCarrier
from tests.app.telephony.line import SandboxCarrier, sandbox_process


@pytest.fixture(scope="session")
def sandbox() -> Iterator[SandboxCarrier]:
    with sandbox_process() as carrier:
        yield carrier


@pytest.fixture
async def carrier(sandbox: SandboxCarrier, settings: Settings) -> AsyncIterator[TwilioCarrier]:
    carrier = TwilioCarrier(settings.model_copy(update={"sandbox_url": sandbox.url}), answer_seconds=5.0)
    yield carrier
    await carrier.close()
