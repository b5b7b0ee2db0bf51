"""Tests of service/execbox_service/workers."""
