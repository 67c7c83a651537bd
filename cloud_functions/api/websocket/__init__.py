"""The WebSocket: connections, subscriptions and tickets. What is sent to them comes from ``fanout.websocket``."""
