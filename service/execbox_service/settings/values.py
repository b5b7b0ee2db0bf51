"""The kinds of values that settings have: lists, keys' hashes, contracts' names.

Reads the text of one value and refuses what cannot be meant; knows no setting.
"""

from __future__ import annotations

import hashlib
import re
from typing import Annotated, Final, Literal, TypeAlias, get_args

from pydantic import BeforeValidator
from pydantic_settings import NoDecode

ENV_PREFIX: Final = "EXECBOX_"
_SHOWN_CHARS_MAX = 60
_KEY_ENTRY = re.compile(r"(?P<name>[A-Za-z0-9][A-Za-z0-9_.-]{0,63}):(?P<digest>[0-9a-fA-F]{64})")
_DIGEST_OF_NOTHING = hashlib.sha256(b"").hexdigest()
_HOST_NAME = re.compile(r"\*|[A-Za-z0-9_][A-Za-z0-9_.-]*|\[[0-9A-Fa-f:.]+\]")
_SENDABLE_KEY = re.compile(r"[\x21-\x7e]+")

Contract: TypeAlias = Literal["sandboxfusion", "open-instruct", "nemo-skills", "code-judge"]
"""Another project's HTTP contract that is answered as well; see docs/integrations.md."""
COMPAT_CONTRACTS: Final[tuple[Contract, ...]] = get_args(Contract)
ApiKeyHash: TypeAlias = tuple[str, str]
"""A key's name, which appears in logs, and the hex SHA-256 of the key, which does not."""


class ConfigurationError(Exception):
    """The settings cannot be used: the message names the variable, its value, what is allowed."""


def _split(value: object) -> object:
    if not isinstance(value, str):
        return value
    return tuple(part.strip() for part in value.split(",") if part.strip())


def _key_hashes(value: object) -> object:
    entries = _split(value)
    if not isinstance(entries, tuple):
        return entries
    return tuple(_key_hash(entry) for entry in entries)


def _key_hash(entry: object) -> object:
    if not isinstance(entry, str):
        return entry
    match = _KEY_ENTRY.fullmatch(entry)
    if match is None:
        raise ValueError(
            "must be name:sha256 separated by commas, where name is letters, digits, '_', '.', '-' "
            "and sha256 is 64 hexadecimal digits (make it with: printf %s KEY | sha256sum)"
        )
    if match["digest"].lower() == _DIGEST_OF_NOTHING:
        raise ValueError(
            f"the key {match['name']} is the hash of no text at all, so no key would ever fit it: "
            "the variable that was hashed was empty"
        )
    return match["name"], match["digest"].lower()


def _host_names(value: object) -> object:
    """What a Host header can be without its port, in the form that is compared with it."""
    names = _split(value)
    for name in names if isinstance(names, tuple) else ():
        if not _HOST_NAME.fullmatch(name):
            raise ValueError(
                f"{shown(name)} is what no Host header without its port can be; name each host "
                "alone, such as box.example or [::1], without scheme, port, path or pattern, in "
                "ASCII; or give * by itself, for any"
            )
    return names


def _blank_to_none(value: object) -> object:
    return None if value == "" else value


def _contracts(value: object) -> object:
    """Names, in any spelling that the projects themselves use; or ``none``, or ``all``."""
    names = _split(value)
    if not isinstance(names, tuple):
        return names
    plain = tuple(re.sub(r"[^a-z]", "", name.lower()) for name in names)
    if plain in (("none",), ("all",)):
        return () if plain == ("none",) else COMPAT_CONTRACTS
    known = {re.sub(r"[^a-z]", "", name): name for name in COMPAT_CONTRACTS}
    for name, spelled in zip(plain, names, strict=True):
        if name not in known:
            raise ValueError(
                f"{shown(spelled)} is no contract; known are {', '.join(COMPAT_CONTRACTS)}, "
                "and none or all by itself"
            )
    return tuple(dict.fromkeys(known[name] for name in plain))


def hash_api_key(key: str) -> str:
    """The hex SHA-256 to put into ``EXECBOX_API_KEY_HASHES``; keys are random, so no salt.

    Raises ConfigurationError for a key that no request could show.
    """
    if not _SENDABLE_KEY.fullmatch(key):
        raise ConfigurationError(
            "an API key must be visible ASCII characters without spaces, such as the output of: "
            "openssl rand -hex 32"
        )
    return hashlib.sha256(key.encode("utf-8")).hexdigest()


def shown(text: str) -> str:
    """A value as messages quote it: its first characters."""
    return repr(text if len(text) <= _SHOWN_CHARS_MAX else text[: _SHOWN_CHARS_MAX - 3] + "...")


CommaSeparated = (NoDecode, BeforeValidator(_split))
OptionalText = Annotated[str | None, BeforeValidator(_blank_to_none)]
HostNames = (NoDecode, BeforeValidator(_host_names))
KeyHashes = (NoDecode, BeforeValidator(_key_hashes))
Contracts = (NoDecode, BeforeValidator(_contracts))
