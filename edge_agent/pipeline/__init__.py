"""One camera from frame to event, and its life: the frame loop, its construction, the camera thread and the supervisor.

May import every room but ``agent`` and ``cli``.
"""
