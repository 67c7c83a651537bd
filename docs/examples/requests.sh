#!/bin/sh
# Requests for events and plate reads: sh requests.sh http://localhost:8069
# With TOKEN set, each request has it as a bearer token.
set -eu
api="${1:-http://localhost:8069}"
get() { curl --fail --silent --show-error ${TOKEN:+--header "Authorization: Bearer $TOKEN"} "$api$1"; echo; }

get "/"
get "/health"
get "/api/events?event_type=motion&page=1&page_size=10"
get "/api/events?camera_id=camera-1&start_time=2024-03-15T00:00:00&end_time=2024-03-15T23:59:59"
get "/api/events/stats"
get "/stats"
get "/events/recent?limit=10"
get "/events/plate/ABC123"
get "/events/camera/camera-1?start_time=2025-12-01T00:00:00Z&end_time=2025-12-16T23:59:59Z"
