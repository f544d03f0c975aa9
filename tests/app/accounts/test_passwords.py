"""Passwords: only the right one is taken, and weaker hashes are noticed."""

from argon2 import PasswordHasher

from callwright.app.accounts.passwords import LONGEST_PASSWORD, hash_password, is_outdated, verify_password


async def test_only_the_right_password() -> None:
    stored = await hash_password("correct horse")
    assert stored.startswith("$argon2id$")
    assert await verify_password(stored, "correct horse")
    assert not await verify_password(stored, "correct horse ")
    assert not await verify_password(stored, "")
    assert not await verify_password(None, "correct horse")
    assert not await verify_password("not a hash", "correct horse")
    assert stored != await hash_password("correct horse")


async def test_a_password_too_long_to_hash_is_wrong() -> None:
    long = "x" * (LONGEST_PASSWORD + 1)
    assert not await verify_password(await hash_password(long), long)


async def test_weaker_hashes_are_outdated() -> None:
    assert is_outdated(PasswordHasher(time_cost=1, memory_cost=1024).hash("x"))
    assert not is_outdated(await hash_password("x"))
