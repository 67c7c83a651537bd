"""Webhooks and their deliveries: the API edits webhooks, the fan-out function records and attempts deliveries."""
