"""execbox as other projects know such a service: a module for each, and nothing that they share.

A module imports its project's package, so it is imported by whoever has that package installed;
``import execbox`` imports none of them. Contracts over HTTP are the service's.
"""
