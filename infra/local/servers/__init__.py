"""The servers of the stack: PostgreSQL, the MQTT broker, Redis, the AWS front. May import ``processes``."""
