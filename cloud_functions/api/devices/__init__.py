"""Devices in the envelope, and the list of cameras as devices. Imports no other resource."""
