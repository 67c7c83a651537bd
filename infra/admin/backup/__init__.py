"""``vedette-admin backup``, ``restore`` and ``verify``: a copy of database and objects, and its way back."""
