"""Long runs that must hold before a release: attacks, soak, public corpora, a busy machine.

Each is a command, ``python -m acceptance.NAME``. Nothing here is installed with the package, and no
corpus function ever runs outside a sandbox. Speed is measured in ``benchmarks``.
"""
