"""Spreading a client's requests over the nodes of a fleet; what is known of them is in ``_nodes``.

``moves`` decides when a request is sent again and where, ``sync_fleet`` and ``async_fleet`` send,
each through one transport for each node.
"""
