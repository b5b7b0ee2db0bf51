"""Measuring execbox beside other ways to run unread code.

``python -m benchmarks`` measures speed; what must hold however fast it is, is in ``acceptance``.
Nothing here is installed with the package. No corpus function ever runs outside a sandbox.
"""
