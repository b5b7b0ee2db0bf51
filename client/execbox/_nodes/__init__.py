"""What a client knows of the nodes of a fleet, and decides by it: all pure, nothing is sent here.

``state`` chooses nodes and leaves them out, ``failures`` says what a failure means for its node,
``sameness`` compares what they run. Sending is in ``_fleet``.
"""
