"""Stores the plate reads of a Kafka topic until Ctrl-C or SIGTERM.

The broker and the topic are KAFKA_BROKERS and KAFKA_TOPIC; the database is the one that PGHOST, PGPORT, PGDATABASE,
PGUSER and PGPASSWORD name.
"""

import logging
import os

from cloud_functions.alpr_storage import KafkaStorageConsumer

logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")

consumer = KafkaStorageConsumer(
    kafka_bootstrap_servers=os.environ.get("KAFKA_BROKERS", "localhost:9092"),
    kafka_topic=os.environ.get("KAFKA_TOPIC", "alpr.plates.detected"),
    kafka_group_id="alpr-storage-consumer",
    db_host=os.environ.get("PGHOST", "localhost"),
    db_port=int(os.environ.get("PGPORT", "5432")),
    db_name=os.environ.get("PGDATABASE", "alpr_db"),
    db_user=os.environ.get("PGUSER", "alpr"),
    db_password=os.environ.get("PGPASSWORD"),
    auto_offset_reset="earliest",  # a new group begins with the oldest read; "latest" skips those that exist
)

consumer.start()
