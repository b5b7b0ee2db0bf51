"""execbox as other projects know such a service: a module for each.

A module imports its project's package, so only programs that have that package installed import it;
``import execbox`` imports none of them. Modules that begin with ``_`` are shared, or a part of one.
Contracts over HTTP are the service's.
"""
