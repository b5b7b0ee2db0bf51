"""``Fallback``: what a file of settings says of a service or a model, and which key may go there.

Reading such a file is the command line's; what comes before it is decided in ``config``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from execbox._addresses import is_loopback
from execbox.errors import ConfigError

__all__ = ["NO_FALLBACK", "Fallback", "MixedNodesRule", "check_api_key"]

MixedNodesRule: TypeAlias = Literal["refuse", "allow"]
"""Whether the nodes of one fleet may differ in image or version."""

_KEY_CHARS_MAX = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Fallback:
    """What a file says of one service or model, for where neither argument nor environment does.

    ``is_found`` says that the user did not name ``file``: it was found by looking for it, so the
    author of the directory chose ``url``, and a key that lies outside of that directory is not
    sent there.
    """

    url: str | None = None
    model: str | None = None
    mixed_nodes: MixedNodesRule | None = None
    api_key_file: Path | None = None
    file: Path | None = None
    is_found: bool = False

    def key(self) -> str | None:
        """The key in ``api_key_file``, None without one. Raises ``ConfigError``; never shows it."""
        if self.api_key_file is None:
            return None
        try:
            with self.api_key_file.open(encoding="ascii") as file:
                key = file.read(_KEY_CHARS_MAX + 1).strip()
        except OSError as error:
            raise ConfigError(
                f"{self.api_key_file} (api_key_file): cannot be read: {error.strerror or error}"
            ) from error
        except UnicodeDecodeError as error:
            raise ConfigError(f"{self.api_key_file} (api_key_file): is not ASCII") from error
        if len(key) > _KEY_CHARS_MAX:
            raise ConfigError(
                f"{self.api_key_file} (api_key_file): is longer than {_KEY_CHARS_MAX} characters, "
                "and a key is needed, by itself"
            )
        check_api_key(key, setting=f"the key in {self.api_key_file} (api_key_file)")
        return key

    def refuse_foreign_key(self, variable: str, *, is_given: bool) -> None:
        """Raise ``ConfigError`` where a key would go to an address that only a found file names.

        ``is_given`` says that the key comes from ``variable``, not from ``api_key_file``.
        """
        if not self.is_found or self.file is None or self.url is None:
            return
        own = self.api_key_file is not None and self.file.parent.resolve() in (
            self.api_key_file.resolve().parents
        )
        if (own and not is_given) or all(map(is_loopback, self.url.split(","))):
            return
        what = variable if is_given else f"the key in {self.api_key_file}"
        raise ConfigError(
            f"{what} is not sent to {self.url}, which {self.file} names: that file was found and "
            f"not named. If you trust it, name it (--config {self.file}, or EXECBOX_CONFIG), or "
            "give the address yourself"
        )


NO_FALLBACK = Fallback()
"""No file says anything."""


def check_api_key(api_key: str | None, *, setting: str = "api_key (EXECBOX_API_KEY)") -> None:
    """Raise ``ConfigError`` for what no key can be; ``setting`` names where it comes from."""
    # The key itself is never repeated: messages end up in logs.
    if api_key is None:
        return
    if not api_key or not api_key.isascii() or not api_key.isprintable() or " " in api_key:
        raise ConfigError(f"{setting} must be printable ASCII without spaces")
