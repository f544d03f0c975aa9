"""Settings: the sandbox and real keys never mix, and a child process gets exactly the same settings."""

import pytest
from pydantic import SecretStr, ValidationError

from callwright.app.settings import SANDBOX_ACCOUNT_SID, Environment, Settings


def settings(**values: object) -> Settings:
    return Settings(_env_file=None, **values)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "values",
    [
        {"sandbox_url": "http://127.0.0.1:9100", "twilio_account_sid": "AC" + "1" * 32},
        {"sandbox_url": "http://sandbox.example.com"},
        {"sandbox_url": "http://127.0.0.1:9100", "environment": "production", "secret_key": "x" * 32},
        {"environment": "production"},
    ],
)
def test_a_dangerous_mixture_is_refused(values: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        settings(**values)


def test_missing_keys_are_named() -> None:
    assert settings(openai_api_key=SecretStr("sk-x")).missing_keys() == [
        "TWILIO_ACCOUNT_SID",
        "TWILIO_AUTH_TOKEN",
        "ANTHROPIC_API_KEY",
    ]


def test_a_child_process_reads_the_same_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    parent = settings(
        sandbox_url="http://127.0.0.1:9100",
        sandbox_speed=4.0,
        twilio_account_sid=SANDBOX_ACCOUNT_SID,
        twilio_auth_token=SecretStr("sandbox-token"),
        database_url="postgresql://u@/d?host=/x",
        environment=Environment.DEVELOPMENT,
        retry_base_seconds=0.5,
    )
    for name, value in parent.as_environment().items():
        monkeypatch.setenv(name, value)
    assert settings() == parent


def test_secrets_do_not_show_in_a_representation() -> None:
    assert "hunter2" not in repr(settings(twilio_auth_token=SecretStr("hunter2")))
