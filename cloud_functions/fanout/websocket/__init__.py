"""Delivers the event stream to WebSocket connections, through the management API of their gateway."""
