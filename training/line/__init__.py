"""Training of the line reader, which reads one line of a plate whose characters have been detected."""
