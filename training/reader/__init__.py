"""The plate reader: what it is trained on, its network, its export and its examination."""
