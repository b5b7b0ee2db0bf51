"""Tests of the modules on no floor: settings, process, runtime, frames, strict JSON."""
