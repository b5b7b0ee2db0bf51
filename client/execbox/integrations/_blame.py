"""Whose fault it is that a request was refused, where its text is what a model wrote."""

from __future__ import annotations

from execbox.errors import ExecboxError, InvalidRequest, RequestTooLarge

__all__ = ["is_about_the_code"]


def is_about_the_code(error: ExecboxError) -> bool:
    """Whether the model's text itself cannot be sent: too long, or with characters that no source
    can have. What the service refuses of a well-formed request, such as limits over its maxima, is
    the doing of the people who set them."""
    if isinstance(error, RequestTooLarge):
        return True
    return isinstance(error, InvalidRequest) and error.http_status is None
