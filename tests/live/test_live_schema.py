"""The OpenAPI document against the service that it describes: schemathesis sends what the document
allows and what it does not, and holds every answer against it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from execbox_service.settings import hash_api_key
from tests.live_service import LiveService, headers_of, live_service, settings_of_attacks

pytestmark = pytest.mark.docker

ROOT = Path(__file__).resolve().parents[2]
CONFIG = Path(__file__).with_name("schemathesis.toml")
KEY = "schema-key"
EXAMPLES_PER_OPERATION = 5
ERRORS = {
    "post": {"400", "401", "408", "413", "415", "422", "429", "431", "503"},
    "get": {"400", "401", "408", "431", "503"},
}


@pytest.fixture(scope="module")
def described(_no_settings_from_outside: None) -> Iterator[LiveService]:
    """Small enough that whatever the document allows is over soon."""
    hashes = f"schema:{hash_api_key(KEY)}"
    with live_service(
        settings_of_attacks(
            api_key_hashes=hashes,
            calls_max="3",
            job_time_s_max="1",
            wall_time_s_max="0.5",
            cpu_time_s_max="0.2",
            body_bytes_max="200000",
        )
    ) as running:
        yield running


def document_of(service: LiveService) -> dict[str, Any]:
    read: dict[str, Any] = service.get("/openapi.json", headers=headers_of(KEY)).json
    return read


def test_every_answer_is_as_the_openapi_document_says(
    described: LiveService, tmp_path: Path
) -> None:
    """No 500, no undocumented status, content type or field; what the document forbids is refused,
    and so are other methods and missing keys."""
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(CONFIG)),
        *("run", f"{described.url}/openapi.json", "--header", f"Authorization: Bearer {KEY}"),
        *("--max-examples", str(EXAMPLES_PER_OPERATION), "--generation-deterministic"),
        "--no-color",
    ]
    run = subprocess.run(
        command,
        env=os.environ
        | {"SCHEMATHESIS_HOOKS": "tests.live.schemathesis_hooks", "PYTHONPATH": str(ROOT)},
        # Where it leaves its notes.
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-12000:] + run.stderr[-4000:]
    tested = re.search(r"Tested: (\d+)", run.stdout)
    generated = re.search(r"(\d+) generated", run.stdout)
    assert tested is not None
    assert int(tested[1]) == sum(map(len, document_of(described)["paths"].values()))
    assert generated is not None
    assert int(generated[1]) > 300


def test_document_names_every_error_of_every_path(described: LiveService) -> None:
    """Whoever writes a client from it has met them all; 404 and 405 belong to no path."""
    document = document_of(described)
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            expected = ERRORS.get(method, set())
            if path in ("/healthz", "/readyz"):
                expected = expected - {"401"}
            if path == "/v1/batch":
                # Lines are refused one by one, and there may be any number of them.
                expected = expected - {"413", "422"}
            if "compat" in operation.get("tags", ()):
                expected = _of_contracts(expected, path)
            succeeded = "200"
            if path.startswith("/v1/sessions"):
                expected, succeeded = _of_sessions(path, method)
            assert set(operation["responses"]) == expected | {succeeded}, path
            needs_key = path not in ("/healthz", "/readyz")
            assert operation.get("security") == ([{"api_key": []}] if needs_key else None), path
    assert "404" in document["info"]["description"]
    assert "405" in document["info"]["description"]


def _of_contracts(own: set[str], path: str) -> set[str]:
    """Paths of other projects' contracts: overload and failures are told in their words."""
    if path == "/sessions/{session_id}":
        return ERRORS["get"] | {"404"}
    of_sandbox_fusion = path in ("/", "/v1/ping", "/run_code", "/run_jupyter")
    return own - {"429", "503"} | ({"504"} if of_sandbox_fusion else {"503"})


def _of_sessions(path: str, method: str) -> tuple[set[str], str]:
    """Errors and success of a path below /v1/sessions: all but the first may find it gone."""
    if path == "/v1/sessions":
        return ERRORS["post"], "200"
    gone = {"410"}
    if path.endswith("/{session_id}") and method == "get":
        return {"401", "503"} | gone, "200"
    missing = {"404"} if path.endswith("/{path}") and method == "get" else set()
    succeeded = "204" if method in ("put", "delete") else "200"
    return ERRORS["post"] | gone | missing, succeeded


def test_document_says_what_this_service_accepts(described: LiveService) -> None:
    """The operator's maxima and levels, not those of every service."""
    schemas = document_of(described)["components"]["schemas"]
    assert schemas["Limits"]["properties"]["cpu_time_s"]["maximum"] == 0.2
    assert schemas["ExecuteRequest"]["properties"]["calls"]["maxItems"] == 3
    assert schemas["VerifyRequest"]["properties"]["items"]["maxItems"] == 3
    assert schemas["GenerateRequest"]["properties"]["attempts"]["default"] == 3
    assert schemas["ExecuteRequest"]["properties"]["isolation"]["default"] == "process"
