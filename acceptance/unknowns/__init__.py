"""A failure is not a zero: what each way to ask makes of checks while something fails.

``checks`` are programs whose worth is known; ``own_adapters`` and ``contract_adapters`` ask for
verdicts about them, as our client's users and other projects' clients do; ``faults`` break
something meanwhile; ``measuring`` counts. ``python -m acceptance.unknowns`` is in ``__main__``.
"""
