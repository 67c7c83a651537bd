"""``make fuzz``: the running API under Schemathesis, with each role."""
