// Print events as Redis publishes them, and connect again after a failure. Needs the package "redis" (4 or newer).
//
//     npm install redis && node redis_consumer.js redis://localhost:6379 events

const { createClient } = require("redis");

async function main(url = "redis://localhost:6379", channel = "events") {
  const client = createClient({
    url,
    socket: { reconnectStrategy: (attempts) => Math.min(100 * 2 ** attempts, 30_000) },
  });
  // Without a listener, an error would end the process; the client subscribes again once it is connected.
  client.on("error", (error) => console.error(`${error.code ?? error.name}: connecting again`));
  await client.connect();
  await client.subscribe(channel, (message) => {
    const event = JSON.parse(message);
    console.log(event.timestamp, event.event_type, event.camera_id);
  });
  for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => process.exit(0));
}

main(...process.argv.slice(2));
