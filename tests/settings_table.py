"""The table of settings in docs/operations.md, made from ``Settings``.

``python -m tests.settings_table --write`` puts it into the page; a test holds the page to it.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Final

from execbox_service.settings import ENV_PREFIX, Settings

PAGE: Final = Path(__file__).resolve().parents[1] / "docs" / "operations.md"
BEGIN: Final = "<!-- made from Settings by: python -m tests.settings_table --write -->\n"
END: Final = "<!-- end of settings -->"
_COMPUTED: Final = {"slot_count": "usable cores"}
"""Defaults that depend on the machine."""
_BY_TYPE: Final = {"api_key_hashes": "name:sha256hex,…", "allowed_hosts": "names"}


def table() -> str:
    """A row for each setting, in their order."""
    schema = Settings.model_json_schema()["properties"]
    rows = ["| variable | values | default | |", "|---|---|---|---|"]
    for name, field in Settings.model_fields.items():
        default = _COMPUTED.get(name) or _shown_default(field.default)
        values = _BY_TYPE.get(name) or _values(schema[name])
        text = (field.description or "").replace("|", "\\|")
        rows.append(f"| `{ENV_PREFIX}{name.upper()}` | {values} | {default} | {text} |")
    return "\n".join(rows) + "\n"


def _shown_default(value: object) -> str:
    match value:
        case None | ():
            return "none"
        case bool():
            return f"`{str(value).lower()}`"
        case tuple():
            return f"`{','.join(map(str, value))}`"
    return f"`{value}`"


def _values(schema: dict[str, Any]) -> str:
    if "anyOf" in schema:
        schema = next(kind for kind in schema["anyOf"] if kind.get("type") != "null")
    if "const" in schema:
        return f"`{schema['const']}`"
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    match schema.get("type"):
        case "boolean":
            return "`true`, `false`"
        case "array":
            return f"some of {_values(schema['items'])}"
        case "integer" | "number":
            return f"{_low(schema)} to {_number(schema['maximum'])}"
    return "text"


def _low(schema: dict[str, Any]) -> str:
    if "exclusiveMinimum" in schema:
        return f"above {_number(schema['exclusiveMinimum'])}"
    return _number(schema["minimum"])


def _number(value: float) -> str:
    return str(int(value) if value == int(value) else value)


def written(page: str) -> str:
    """The page with the table as it is now. Raises ValueError where the page has no place."""
    begin = page.index(BEGIN) + len(BEGIN)
    return page[:begin] + "\n" + table() + "\n" + page[page.index(END, begin) :]


if __name__ == "__main__":
    if sys.argv[1:] != ["--write"]:
        sys.exit("usage: python -m tests.settings_table --write")
    PAGE.write_text(written(PAGE.read_text("utf-8")), "utf-8")
