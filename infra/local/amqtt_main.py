"""The process behind ``MqttBroker`` where mosquitto is not installed: amqtt, taking everybody who reaches loopback."""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
from typing import Any

from amqtt.broker import Broker
from amqtt.contexts import BrokerConfig
from amqtt.plugins.base import BaseAuthPlugin
from amqtt.session import Session

from infra.local.ports import LOOPBACK


class LoopbackAuthPlugin(BaseAuthPlugin):
    """Lets everybody in as somebody: amqtt queues nothing for a session that is away when it counts as anonymous."""

    async def authenticate(self, *, session: Session) -> bool:
        session.is_anonymous = False
        return True


def broker_settings(port: int) -> dict[str, Any]:
    return {
        "listeners": {"default": {"type": "tcp", "bind": f"{LOOPBACK}:{port}"}},
        "plugins": {f"{__name__}.{LoopbackAuthPlugin.__name__}": {}},
    }


async def serve(port: int) -> None:
    """Run the broker until SIGTERM."""
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    broker = Broker(BrokerConfig.from_dict(broker_settings(port)))
    await broker.start()
    await stopped.wait()
    await broker.shutdown()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    options = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    asyncio.run(serve(options.port))


if __name__ == "__main__":
    # Under its own name, so that amqtt finds the plug-in in the module it names.
    from infra.local.amqtt_main import main as run

    run()
