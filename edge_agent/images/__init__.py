"""Drawing on pictures and encoding them: no rules, no network. May import ``edge_agent.types`` and ``annotate``."""
