"""A service on the image with more languages, for tests of programs in them."""

from __future__ import annotations

from collections.abc import AsyncIterator

import docker
import pytest
import pytest_asyncio

from tests.sandbox.languages import IMAGE, Languages, started_languages


@pytest.fixture(scope="session")
def languages_image() -> str:
    """The image, which is built apart because few need it."""
    client = docker.from_env()
    try:
        client.images.get(IMAGE)
    except docker.errors.ImageNotFound:
        pytest.skip(f"there is no {IMAGE}: build it with 'make image-languages'")
    finally:
        client.close()
    return IMAGE


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def languages(languages_image: str) -> AsyncIterator[Languages]:
    """A service on it, which has proved its sandbox when it is there."""
    async with started_languages(languages_image) as started:
        yield started
