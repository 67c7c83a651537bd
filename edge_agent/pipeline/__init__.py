"""One camera from frame to event: frame loop, construction, camera thread and supervisor.

May import every package except ``agent`` and ``cli``.
"""
