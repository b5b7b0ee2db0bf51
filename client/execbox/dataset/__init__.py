"""The steps from functions to training records, as library functions; no HTTP and no printing here.

Each step is a module; all of them read and append JSONL through ``records``, ``resume`` and
``step``. The commands that call them are in ``execbox.cli``.
"""
