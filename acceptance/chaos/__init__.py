"""Chaos in small: the whole chain of work, while everything below it and around it fails in turn.

``work`` is what is done and what must come of it; ``place`` is where, with what can be done to it;
``kinds`` are the faults; ``driving`` has the work done, calmly and not; ``left`` looks for what is
left behind; ``told`` is the report. ``python -m acceptance.chaos`` is in ``__main__``.
"""
