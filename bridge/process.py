"""The bridge process on the domain: its settings from the house's, its desk on the database."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from callwright.app.calls.desk import DatabaseCallDesk
from callwright.app.settings import Settings
from callwright.app.state import open_state
from callwright.bridge import main
from callwright.bridge.settings import BridgeSettings


def run(settings: Settings) -> None:
    """Serves until SIGTERM, then drains."""
    main.run(bridge_settings(settings), lambda: _open_desk(settings))


@asynccontextmanager
async def _open_desk(settings: Settings) -> AsyncIterator[DatabaseCallDesk]:
    async with open_state(settings) as state:
        desk = DatabaseCallDesk(state)
        try:
            yield desk
        finally:
            await desk.close()


def bridge_settings(settings: Settings) -> BridgeSettings:
    """What the bridge needs of the settings; both keys must be set."""
    assert settings.twilio_auth_token is not None
    assert settings.openai_api_key is not None
    return BridgeSettings(
        public_stream_url=settings.bridge_stream_url,
        twilio_auth_token=settings.twilio_auth_token.get_secret_value(),
        openai_api_key=settings.openai_api_key.get_secret_value(),
        openai_base_url=f"{settings.sandbox_url}/v1" if settings.sandbox_url else None,
        spool_dir=settings.data_dir / "spool",
        host=settings.bridge_host,
        port=settings.bridge_port,
        transcription_model=settings.transcription_model,
    )
