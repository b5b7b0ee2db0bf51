"""Tests of the client library and its command, against a scripted HTTP server."""
