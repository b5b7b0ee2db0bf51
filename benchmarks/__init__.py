"""Measuring execbox beside other ways to run unread code, and running public corpora through it.

``python -m benchmarks`` measures speed, ``python -m benchmarks.corpus`` what the corpora give.
Nothing here is installed with the package. No corpus function ever runs outside a sandbox.
"""
