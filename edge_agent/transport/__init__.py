"""Delivery to the cloud: MQTT, S3, credentials, TLS, and the sender that drains the outbox.

``sender.py`` is the public class: ``event_publisher.py`` publishes events through ``mqtt.py``, ``image_uploader.py``
uploads images through ``s3.py``. ``diagnosis.py`` explains connection problems. The only package of the edge agent that
may import boto3 and paho. May import ``outbox`` and ``shared``.
"""
