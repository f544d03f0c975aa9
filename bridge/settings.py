"""What one bridge process is told at its start."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class BridgeSettings:
    """`public_stream_url` is the address exactly as the TwiML gives it: Twilio signs the upgrade over it."""

    public_stream_url: str
    twilio_auth_token: str
    openai_api_key: str
    spool_dir: Path
    openai_base_url: str | None = None  # None: the SDK's own default
    host: str = "127.0.0.1"
    port: int = 8080  # 0: any free port
    transcription_model: str = "gpt-4o-mini-transcribe"
    bridge_id: str = "bridge"  # the name under which it is registered, and tickets are made out to it
    control_url: str | None = None  # where our other processes reach it; None: the host and port it listens on
    max_calls: int = 200
    max_prepared: int = 50  # sessions that wait for a pick-up
    prepared_seconds: float = 60.0  # how long each may: the ringing and a margin
    stall_seconds: float = 15.0  # wall clock without a frame from the phone
    hang_up_seconds: float = 5.0  # from the hang-up at the carrier until we close the socket ourselves
    hear_out_seconds: float = 1.0  # for last transcripts once the person hung up
    drain_seconds: float = 330.0  # a full call and its wrap-up
    guidance_seconds: float = 2.5  # the desk keeps 2 s; this is the bridge's own bound
