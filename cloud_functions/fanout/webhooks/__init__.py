"""Delivers to webhooks: the signature, the address check, one HTTP request, and a thread for each webhook."""
