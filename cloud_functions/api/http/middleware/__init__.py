"""Middleware that needs no other part of the API: each module wraps an ASGI application."""
