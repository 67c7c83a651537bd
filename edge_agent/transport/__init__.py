"""

he only room that imports boto3 and paho: the MQTT link, S3, credentials, TLS, and the sender that drains the outbox.
"""
