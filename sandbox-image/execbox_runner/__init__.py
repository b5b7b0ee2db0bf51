"""What runs inside a container: the supervisor, the zygotes, and the job processes they fork.

It uses the standard library only and imports nothing of the service. Start at ``supervisor.py``.
"""
