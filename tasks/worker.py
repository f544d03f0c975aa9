"""The worker process: runs the actors of every queue on one event loop until it is told to stop."""

import signal
import threading
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import dramatiq
import structlog
from dramatiq.asyncio import get_event_loop_thread
from dramatiq.middleware import Middleware, MiddlewareError

from callwright.app.settings import Settings
from callwright.app.state import AppState, open_state
from callwright.tasks.actors import declare_actors
from callwright.tasks.broker import open_broker

log = structlog.get_logger(__name__)

THREADS = 8
STOP_SECONDS = 30.0
_POLL_MILLISECONDS = 200  # how long a stopping thread may still wait for work


class StateInLoop(Middleware):
    """Opens the process's state inside the actors' event loop when the worker boots, and closes it there at the end."""

    def __init__(self, open_one: Callable[[], AbstractAsyncContextManager[AppState]]) -> None:
        self._open_one = open_one
        self._opened: AbstractAsyncContextManager[AppState] | None = None
        self._state: AppState | None = None

    def state(self) -> AppState:
        """The open state."""
        if self._state is None:
            raise RuntimeError("the worker has not booted")
        return self._state

    def before_worker_boot(self, broker: dramatiq.Broker, worker: dramatiq.Worker) -> None:
        loop = get_event_loop_thread()
        assert loop is not None, "AsyncIO comes before this middleware"
        opened = self._open_one()
        try:
            self._state = loop.run_coroutine(opened.__aenter__())
        except Exception as error:
            # Dramatiq only logs other exceptions, and would go on without a state.
            raise MiddlewareError(f"the worker's state did not open: {type(error).__name__}") from error
        self._opened = opened

    def after_worker_shutdown(self, broker: dramatiq.Broker, worker: dramatiq.Worker) -> None:
        loop = get_event_loop_thread()
        if self._opened is not None and loop is not None:
            loop.run_coroutine(self._opened.__aexit__(None, None, None))
        self._opened = self._state = None


def run(settings: Settings, *, threads: int = THREADS) -> None:
    """Works until SIGTERM or SIGINT, then finishes what it has begun (for up to `STOP_SECONDS`) and returns.

    Call it in the main thread. A second signal does not hurry it.
    """
    stop = threading.Event()
    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, lambda *_: stop.set())
    state = StateInLoop(lambda: open_state(settings))
    broker = open_broker(settings, state)
    declare_actors(broker, state.state)
    worker = dramatiq.Worker(broker, worker_threads=threads, worker_timeout=_POLL_MILLISECONDS)
    worker.start()
    log.info("worker.ready", threads=threads)
    stop.wait()
    worker.stop(timeout=int(STOP_SECONDS * 1000))
    broker.close()
    log.info("worker.stopped")


if __name__ == "__main__":
    run(Settings())
