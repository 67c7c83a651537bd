"""Ingest as a long-running Kafka consumer: ``vedette-ingest kafka``. Not packaged into any Lambda function."""
