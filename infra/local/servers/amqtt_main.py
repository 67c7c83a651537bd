"""The process behind ``MqttBroker`` when mosquitto is not installed: amqtt on loopback, without authentication.

Two properties of amqtt are changed, because a subscriber that acknowledges late (the database is down) or dies must not
lose messages: amqtt gives up a message that is not acknowledged within 5 s, and drops messages in flight when the
connection ends.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
from contextlib import suppress
from typing import Any

import amqtt.broker
from amqtt.broker import Broker
from amqtt.contexts import BrokerConfig
from amqtt.errors import AMQTTError
from amqtt.mqtt.protocol.broker_handler import BrokerProtocolHandler
from amqtt.mqtt.puback import PubackPacket
from amqtt.plugins.base import BaseAuthPlugin
from amqtt.session import IncomingApplicationMessage, OutgoingApplicationMessage, Session

from infra.local.processes.ports import LOOPBACK


class LoopbackAuthPlugin(BaseAuthPlugin):
    """Accepts every client as authenticated: amqtt queues no messages for an offline session that is anonymous."""

    async def authenticate(self, *, session: Session) -> bool:
        session.is_anonymous = False
        return True


class DurableDeliveryHandler(BrokerProtocolHandler):
    """Waits for PUBACK until the connection ends, and redelivers messages that were in flight."""

    @classmethod
    async def init_from_connect(
        cls, reader: Any, writer: Any, plugins_manager: Any, loop: asyncio.AbstractEventLoop | None = None
    ) -> tuple[BrokerProtocolHandler, Session]:
        """Close connections that end without CONNECT: amqtt leaves them open, and Python 3.12+ waits for them."""
        try:
            return await super().init_from_connect(reader, writer, plugins_manager, loop)
        except Exception:
            with suppress(OSError):
                await writer.close()
            raise

    async def _handle_qos1_message_flow(
        self, app_message: OutgoingApplicationMessage | IncomingApplicationMessage
    ) -> None:
        if isinstance(app_message, IncomingApplicationMessage) or app_message.packet_id is None:
            await super()._handle_qos1_message_flow(app_message)
            return
        session, packet_id = self.session, app_message.packet_id
        if session is None:
            raise AMQTTError("the session has ended")
        session.inflight_out[packet_id] = app_message
        acknowledged: asyncio.Future[PubackPacket] = asyncio.get_running_loop().create_future()
        self._puback_waiters[packet_id] = acknowledged
        try:
            packet = app_message.build_publish_packet(dup=app_message.publish_packet is not None)
            app_message.publish_packet = packet
            await self._send_packet(packet)
            app_message.puback_packet = await acknowledged
        finally:
            if self._puback_waiters.get(packet_id) is acknowledged:
                del self._puback_waiters[packet_id]
        session.inflight_out.pop(packet_id, None)

    async def _retry_deliveries(self) -> None:
        if self.session is None:
            raise AMQTTError("the session has ended")
        # Not awaited: the client's packets (subscriptions, acknowledgements) must be read meanwhile.
        self._redeliveries = [
            asyncio.create_task(self._redeliver(message)) for message in list(self.session.inflight_out.values())
        ]

    async def _redeliver(self, message: OutgoingApplicationMessage) -> None:
        try:
            await self._handle_message_flow(message)
        except (AMQTTError, OSError) as error:
            self.logger.debug("not redelivered for now: %s", error)


def broker_settings(port: int) -> dict[str, Any]:
    """Return amqtt's configuration: one listener on loopback and the authentication plug-in."""
    return {
        "listeners": {"default": {"type": "tcp", "bind": f"{LOOPBACK}:{port}"}},
        "plugins": {f"{__name__}.{LoopbackAuthPlugin.__name__}": {}},
    }


async def serve(port: int) -> None:
    """Run the broker until SIGTERM."""
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    # amqtt does not let the handler class be configured.
    amqtt.broker.BrokerProtocolHandler = DurableDeliveryHandler
    broker = Broker(BrokerConfig.from_dict(broker_settings(port)))
    await broker.start()
    await stopped.wait()
    await broker.shutdown()


def main() -> None:
    """Parse ``--port`` and serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    options = parser.parse_args()
    logging.basicConfig(level=logging.ERROR)
    # A readiness probe connects and disconnects without a packet, which amqtt logs as an error.
    logging.getLogger("amqtt.broker").addFilter(lambda record: "No data from" not in record.getMessage())
    asyncio.run(serve(options.port))


if __name__ == "__main__":
    # Imported under its own name, because amqtt imports the plug-in by module name.
    from infra.local.servers.amqtt_main import main as run

    run()
