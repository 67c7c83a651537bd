"""Limits the requests of each caller: ``gcra`` decides, ``limiters`` keep the state, ``middleware`` adds headers."""
