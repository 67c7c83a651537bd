"""Motion: what moves in a camera's picture, found from its brightness alone."""
