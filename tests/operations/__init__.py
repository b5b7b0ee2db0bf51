"""Tests of ``operations``: what each request runs, and the payloads and policy that they share."""
