"""Ingest as a long-lived Kafka consumer: ``vedette-ingest kafka``. No part of any Lambda function."""
