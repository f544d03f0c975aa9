"""Every setting, read once per process from the environment (or a `.env` file) and passed in."""

from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationInfo, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

SANDBOX_ACCOUNT_SID = "AC" + "0" * 32
SANDBOX_AUTH_TOKEN = "sandbox-token"  # noqa: S105 - the stand-in's, on loopback only
_STORE_SCHEMES = {
    "database_url": ("postgresql://", "postgres://", "postgresql+psycopg://"),
    "redis_url": ("redis://", "rediss://", "unix://"),
}


class Environment(StrEnum):
    """Development migrates on start and serves GraphiQL; production does neither."""

    DEVELOPMENT = "development"
    PRODUCTION = "production"


class Rates(BaseSettings):
    """Prices in USD. The estimate uses the published per-minute rates, the metered cost the token prices.

    Token prices are per million: OpenAI's and Anthropic's price lists as of 2026-11; set them to your contract's.
    """

    model_config = SettingsConfigDict(env_prefix="CALLWRIGHT_RATE_", env_file=".env", extra="ignore")

    telephony_per_minute: Decimal = Decimal("0.014")
    voice_model_per_minute: Decimal = Decimal("0.30")
    reasoning_per_call: Decimal = Decimal("0.03")
    voice_audio_input: Decimal = Decimal("32")
    voice_audio_output: Decimal = Decimal("64")
    voice_text_input: Decimal = Decimal("4")
    voice_text_output: Decimal = Decimal("16")
    voice_cached_input: Decimal = Decimal("0.40")
    reasoning_input: Decimal = Decimal("3")
    reasoning_output: Decimal = Decimal("15")


class Settings(BaseSettings):
    """One process's settings. Provider variables keep the names their own SDKs use."""

    model_config = SettingsConfigDict(
        env_prefix="CALLWRIGHT_", env_file=".env", extra="ignore", populate_by_name=True, env_ignore_empty=True
    )

    environment: Environment = Environment.DEVELOPMENT
    data_dir: Path = Path(".data")
    database_url: str | None = Field(default=None, validation_alias="DATABASE_URL", repr=False)
    redis_url: str | None = Field(default=None, validation_alias="REDIS_URL", repr=False)
    secret_key: SecretStr | None = None

    web_host: str = "127.0.0.1"
    web_port: int = 8000
    public_url: str = "http://127.0.0.1:8000"
    bridge_host: str = "127.0.0.1"
    bridge_port: int = 8080
    bridge_stream_url: str = "ws://127.0.0.1:8080/media"
    bridge_url: str | None = None
    bridge_max_calls: int = Field(default=200, ge=1)
    bridge_max_prepared: int = Field(default=50, ge=0)

    sandbox_url: str | None = None
    sandbox_speed: float = Field(default=1.0, gt=0, le=50)

    twilio_account_sid: str | None = Field(default=None, validation_alias="TWILIO_ACCOUNT_SID")
    twilio_auth_token: SecretStr | None = Field(default=None, validation_alias="TWILIO_AUTH_TOKEN")
    openai_api_key: SecretStr | None = Field(default=None, validation_alias="OPENAI_API_KEY")
    anthropic_api_key: SecretStr | None = Field(default=None, validation_alias="ANTHROPIC_API_KEY")
    voice_model: str = "gpt-realtime-2.1"
    transcription_model: str = "gpt-4o-mini-transcribe"
    guidance_model: str = "claude-haiku-5-5"
    summary_model: str = "claude-sonnet-5-5"
    guidance_timeout_seconds: float = 2.0
    summary_timeout_seconds: float = 30.0

    max_concurrent_calls: int = Field(default=5, ge=1)
    max_dials_per_minute: int = Field(default=10, ge=1)
    business_max_concurrent_calls: int = Field(default=5, ge=1)
    business_max_dials_per_minute: int = Field(default=10, ge=1)
    max_attempts: int = Field(default=3, ge=1, le=10)
    max_attempts_per_day: int = Field(default=3, ge=1)
    retry_base_seconds: float = Field(default=300.0, ge=0)
    retry_max_seconds: float = Field(default=7200.0, ge=0)
    ring_seconds: int = Field(default=30, ge=15, le=600)
    stream_token_seconds: int = Field(default=120, ge=10)
    max_call_seconds: int = Field(default=300, ge=30, le=3600)
    dispatch_interval_seconds: float = Field(default=1.0, gt=0)
    reconcile_after_seconds: float = Field(default=20.0, gt=0)
    recording_link_seconds: int = 3600
    recordings_url: str | None = None

    @field_validator("database_url", "redis_url")
    @classmethod
    def _has_a_known_scheme(cls, url: str | None, info: ValidationInfo) -> str | None:
        schemes = _STORE_SCHEMES[info.field_name or ""]
        if url is not None and not url.startswith(schemes):
            raise ValueError(f"must start with {' or '.join(schemes)}")
        if url is not None and "," not in url:
            try:
                _ = urlsplit(url).port
            except ValueError:
                raise ValueError("its port must be a number from 0 to 65535") from None
        return url

    @model_validator(mode="after")
    def _sandbox_never_meets_real_people(self) -> Self:
        if not self.sandbox_url:
            return self
        if self.environment is Environment.PRODUCTION:
            raise ValueError("CALLWRIGHT_SANDBOX_URL must not be set when CALLWRIGHT_ENVIRONMENT is production")
        if urlsplit(self.sandbox_url).hostname not in ("127.0.0.1", "localhost", "::1"):
            raise ValueError("CALLWRIGHT_SANDBOX_URL must be on loopback")
        if self.twilio_account_sid not in (None, SANDBOX_ACCOUNT_SID):
            raise ValueError("TWILIO_ACCOUNT_SID is a real account's: unset it, or unset CALLWRIGHT_SANDBOX_URL")
        return self

    @model_validator(mode="after")
    def _production_has_a_secret(self) -> Self:
        if self.environment is Environment.PRODUCTION and self.secret_key is None:
            raise ValueError("CALLWRIGHT_SECRET_KEY must be set in production: any 32 random characters")
        return self

    def as_environment(self) -> dict[str, str]:
        """These settings as environment variables for a child process; unset ones are left out."""
        variables = {}
        for name, field in type(self).model_fields.items():
            value = getattr(self, name)
            if value is None:
                continue
            variable = (
                field.validation_alias if isinstance(field.validation_alias, str) else f"CALLWRIGHT_{name.upper()}"
            )
            variables[variable] = value.get_secret_value() if isinstance(value, SecretStr) else str(value)
        return variables

    @property
    def in_sandbox(self) -> bool:
        """True when every provider is a stand-in on loopback."""
        return self.sandbox_url is not None

    def missing_keys(self) -> list[str]:
        """The environment variables that calls with the real providers still need."""
        needed = {
            "TWILIO_ACCOUNT_SID": self.twilio_account_sid,
            "TWILIO_AUTH_TOKEN": self.twilio_auth_token,
            "OPENAI_API_KEY": self.openai_api_key,
            "ANTHROPIC_API_KEY": self.anthropic_api_key,
        }
        return [name for name, value in needed.items() if not value]
