"""Cameras and camera groups, in the envelope. Imports no other resource."""
