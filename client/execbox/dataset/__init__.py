"""The steps from functions to training records, as library functions; no HTTP and no printing here.

``files`` reads and writes JSONL, ``steps`` holds one module per step and what runs any of them over
a file, ``scoring`` the benchmarks. The commands that call them are in ``execbox.cli``.
"""
