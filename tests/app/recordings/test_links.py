"""A link opens one recording for an hour, and nothing else."""

from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from callwright.app.errors import CallwrightError
from callwright.app.recordings.links import is_valid, sign
from callwright.app.settings import Settings

SETTINGS = Settings(
    _env_file=None, secret_key=SecretStr("one secret of some length"), public_url="https://calls.example/"
)
NOW = datetime(2026, 11, 22, 12, 0, 0, 500_000, tzinfo=UTC)
RECORDING = UUID("019aaaaa-0000-7000-8000-000000000001")


def parts(url: str) -> tuple[str, str]:
    query = parse_qs(urlsplit(url).query)
    return query["expires"][0], query["signature"][0]


def test_a_link_is_absolute_and_lasts_an_hour() -> None:
    link = sign(RECORDING, NOW, SETTINGS)
    assert link.url.startswith(f"https://calls.example/recordings/{RECORDING}.wav?expires=")
    assert link.expires_at == NOW.replace(microsecond=0) + timedelta(hours=1)
    expires, signature = parts(link.url)
    assert is_valid(RECORDING, expires, signature, NOW, SETTINGS)
    assert is_valid(RECORDING, expires, signature, link.expires_at - timedelta(seconds=1), SETTINGS)
    assert not is_valid(RECORDING, expires, signature, link.expires_at, SETTINGS)


def test_a_link_is_for_one_recording_and_one_secret() -> None:
    expires, signature = parts(sign(RECORDING, NOW, SETTINGS).url)
    other = Settings(_env_file=None, secret_key=SecretStr("another secret of some length"))
    assert not is_valid(uuid4(), expires, signature, NOW, SETTINGS)
    assert not is_valid(RECORDING, expires, signature, NOW, other)
    assert not is_valid(RECORDING, str(int(expires) + 1), signature, NOW, SETTINGS)
    assert not is_valid(RECORDING, f"0{expires}", signature, NOW, SETTINGS)


@given(forged=st.text(max_size=80))
def test_no_other_signature_opens_it(forged: str) -> None:
    expires, signature = parts(sign(RECORDING, NOW, SETTINGS).url)
    assert is_valid(RECORDING, expires, forged, NOW, SETTINGS) is (forged == signature)


@pytest.mark.parametrize("secret", [None, SecretStr("")])
def test_without_a_secret_nothing_is_signed_and_nothing_opens(secret: SecretStr | None) -> None:
    settings = Settings(_env_file=None, secret_key=secret)
    with pytest.raises(CallwrightError):
        sign(RECORDING, NOW, settings)
    with pytest.raises(CallwrightError):
        is_valid(RECORDING, "1", "", NOW, settings)
