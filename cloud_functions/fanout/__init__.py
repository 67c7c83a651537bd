"""From SNS to receivers: one target a queue. May import ``settings`` and ``observability``."""
