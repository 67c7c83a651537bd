"""The two classes of an ALPR storage service, over ingest and the database. Not packaged into any Lambda function.

Imports ``ingest``, ``privacy`` and ``db``; nothing imports this folder.
"""

from cloud_functions.alpr_storage.kafka_consumer import KafkaStorageConsumer
from cloud_functions.alpr_storage.storage_service import StorageService

__all__ = ["KafkaStorageConsumer", "StorageService"]
