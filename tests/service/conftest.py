"""Settings come from the tests alone."""

from tests.environment import no_settings_from_outside  # noqa: F401 - a fixture
