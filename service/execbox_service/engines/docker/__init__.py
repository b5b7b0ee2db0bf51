"""The engine ``docker``: containers of a Docker daemon, and the policy they are made under."""
