"""Access tokens of an OpenID Connect issuer: ``settings``, ``issuer_keys`` and ``tokens``, which verifies them."""
