"""Delivery to the cloud: MQTT, S3, credentials, TLS, and the sender that drains the outbox.

The only package of the edge agent that may import boto3 and paho. May import ``outbox`` and ``shared``.
"""
