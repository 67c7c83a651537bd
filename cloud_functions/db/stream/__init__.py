"""SQL of the event stream: the order of delivery to WebSockets, their connections and subscriptions."""
