"""Model sessions that stand ready while phones ring: bounded in number and in time, each closed if nobody picks up."""

import asyncio
from dataclasses import dataclass
from uuid import UUID

from callwright.app.calls.conversation import StreamRefused
from callwright.bridge.services import Services
from callwright.bridge.session import ModelSession

_BRIEF_SECONDS = 5.0


@dataclass(slots=True)
class _Preparation:
    until: float  # by the services' clock
    task: asyncio.Task[None] | None = None
    session: ModelSession | None = None


class PreparedSessions:
    """Owns each session from its opening until a call takes it over, its time is up, or the process stops."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._waiting: dict[UUID, _Preparation] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def prepare(self, attempt_id: UUID) -> bool:
        """Begins to open a session for the attempt, once; false when too many are waiting already."""
        if attempt_id in self._waiting:
            return True
        settings = self._services.settings
        if len(self._waiting) >= settings.max_prepared:
            return False
        preparation = _Preparation(self._services.clock() + settings.prepared_seconds)
        self._waiting[attempt_id] = preparation
        preparation.task = asyncio.get_running_loop().create_task(self._open(attempt_id, preparation))
        return True

    def take(self, attempt_id: UUID) -> ModelSession | None:
        """The attempt's session, which is the caller's from now on; None when there is none that lives."""
        preparation = self._waiting.pop(attempt_id, None)
        if preparation is None:
            return None
        if preparation.task is not None:
            preparation.task.cancel()
        session = preparation.session
        return session if session is not None and session.lost is None else None

    def check(self, now: float) -> None:
        """Closes those whose time is up or whose model went; called about once a second."""
        for attempt_id, preparation in tuple(self._waiting.items()):
            lost = preparation.session is not None and preparation.session.lost is not None
            if lost or now >= preparation.until:
                self._close(attempt_id)

    def close(self) -> None:
        for attempt_id in tuple(self._waiting):
            self._close(attempt_id)

    def _close(self, attempt_id: UUID) -> None:
        session = self.take(attempt_id)
        if session is not None:
            session.close()

    async def _open(self, attempt_id: UUID, preparation: _Preparation) -> None:
        services = self._services
        try:
            brief = await asyncio.wait_for(services.desk.prepare(attempt_id), _BRIEF_SECONDS)
        except Exception as error:  # then the call opens its session when it is answered
            code = error.code if isinstance(error, StreamRefused) else type(error).__name__
            services.log.warning("not_prepared", attempt_id=str(attempt_id), code=code)
            self._waiting.pop(attempt_id, None)
            return
        preparation.session = ModelSession(services, brief)
