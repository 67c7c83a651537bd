"""The process behind ``MqttBroker`` where mosquitto is not installed: amqtt, taking everybody who reaches loopback.

Two things of amqtt's are put right here, because a subscriber that acknowledges late (the database is down) or dies
must lose nothing: it gives up a message that is not acknowledged within 5 s, and forgets what is in flight when the
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
    """Lets everybody in as somebody: amqtt queues nothing for a session that is away when it counts as anonymous."""

    async def authenticate(self, *, session: Session) -> bool:
        session.is_anonymous = False
        return True


class DurableDeliveryHandler(BrokerProtocolHandler):
    """Waits for PUBACK as long as the connection lasts, and sends again what was in flight when it ended."""

    @classmethod
    async def init_from_connect(
        cls, reader: Any, writer: Any, plugins_manager: Any, loop: asyncio.AbstractEventLoop | None = None
    ) -> tuple[BrokerProtocolHandler, Session]:
        """Close what ends without CONNECT: amqtt leaves it open, and from Python 3.12 on closing waits for it."""
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
        # Not awaited: the client must be heard (subscriptions, acknowledgements) while it works these off.
        self._redeliveries = [
            asyncio.create_task(self._redeliver(message)) for message in list(self.session.inflight_out.values())
        ]

    async def _redeliver(self, message: OutgoingApplicationMessage) -> None:
        try:
            await self._handle_message_flow(message)
        except (AMQTTError, OSError) as error:
            self.logger.debug("not redelivered for now: %s", error)


def broker_settings(port: int) -> dict[str, Any]:
    """Return amqtt's configuration: one listener on loopback and our door-keeper."""
    return {
        "listeners": {"default": {"type": "tcp", "bind": f"{LOOPBACK}:{port}"}},
        "plugins": {f"{__name__}.{LoopbackAuthPlugin.__name__}": {}},
    }


async def serve(port: int) -> None:
    """Run the broker until SIGTERM."""
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    # amqtt has no seam for the handler's class.
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
    # Whoever asks whether the port answers hangs up without a word: amqtt calls that an error.
    logging.getLogger("amqtt.broker").addFilter(lambda record: "No data from" not in record.getMessage())
    asyncio.run(serve(options.port))


if __name__ == "__main__":
    # Under its own name, so that amqtt finds the plug-in in the module it names.
    from infra.local.servers.amqtt_main import main as run

    run()
