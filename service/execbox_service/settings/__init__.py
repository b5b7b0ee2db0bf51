"""The service's configuration: what can be set, and the one place that reads the environment."""

from .fields import Settings
from .reading import DockerVariables, docker_variables, load_settings, unknown_variables
from .values import (
    COMPAT_CONTRACTS,
    ENV_PREFIX,
    ApiKeyHash,
    ConfigurationError,
    Contract,
    hash_api_key,
)

__all__ = [
    "COMPAT_CONTRACTS",
    "ENV_PREFIX",
    "ApiKeyHash",
    "ConfigurationError",
    "Contract",
    "DockerVariables",
    "Settings",
    "docker_variables",
    "hash_api_key",
    "load_settings",
    "unknown_variables",
]
