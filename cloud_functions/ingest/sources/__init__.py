"""Event sources: how messages lie in what Lambda or Kafka hands over."""
