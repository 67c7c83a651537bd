"""Event sources: messages in Lambda events and in Kafka records. Imports no other module of ``ingest``."""
