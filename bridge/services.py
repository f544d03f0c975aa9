"""What all calls of a bridge process share."""

import ssl
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass

import structlog
from openai import AsyncOpenAI

from callwright.app.calls.conversation import CallDesk
from callwright.bridge.core import OptOutTest
from callwright.bridge.settings import BridgeSettings
from callwright.bridge.spare import SpareLines


@dataclass(frozen=True, slots=True)
class Services:
    settings: BridgeSettings
    desk: CallDesk
    client: AsyncOpenAI
    tls: ssl.SSLContext | None  # one for all model sockets: each costs 0.9 MB
    disk: Executor
    is_opt_out: OptOutTest
    spare: SpareLines
    clock: Callable[[], float]  # seconds, monotonic
    log: structlog.stdlib.BoundLogger
