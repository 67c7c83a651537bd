"""Webhooks: register receivers of events, and look at what was delivered. Imports no other resource."""
