"""Drawing on pictures and encoding them: no rules, no network. May import ``types`` and ``resize``."""
