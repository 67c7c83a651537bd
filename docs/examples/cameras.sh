#!/bin/sh
# Log in, create a camera, list and export cameras, test the connection, and delete the camera again:
#
#     VEDETTE_PASSWORD=... sh cameras.sh http://localhost:8069 admin
#
# The password and the token are sent from files, because other users of the machine see the arguments of programs.
set -eu
api="${1:-http://localhost:8069}"
user="${2:-admin}"
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT

# The first text in JSON under this name.
field() { sed -n "s/.*\"$1\": *\"\([^\"]*\)\".*/\1/p" | head -n 1; }

printf '{"username": "%s", "password": "%s"}' "$user" "$VEDETTE_PASSWORD" > "$folder/login"
token="$(curl --fail --silent --show-error -X POST "$api/api/v1/auth/login" \
  -H 'Content-Type: application/json' --data "@$folder/login" | field accessToken)"
printf 'header = "Authorization: Bearer %s"\n' "$token" > "$folder/curl"

call() {  # METHOD PATH [BODY]
  method="$1"; path="$2"; shift 2
  curl --silent --show-error --config "$folder/curl" -X "$method" "$api$path" \
    ${1:+-H "Content-Type: application/json" --data "$1"}
  echo
}

call POST /api/v1/cameras '{
  "name": "Front Door",
  "rtsp_url": "rtsp://192.168.1.100:8554/stream",
  "resolution": "1920x1080",
  "fps": 30,
  "codec": "h264",
  "location": "Main Entrance",
  "is_active": true,
  "enable_detection": true,
  "detection_sensitivity": 0.7
}' > "$folder/created"
cat "$folder/created"
camera="$(field id < "$folder/created")"
call GET "/api/v1/cameras?page=1&page_size=20&active_only=true"
call GET "/api/v1/cameras/$camera"
call POST "/api/v1/cameras/$camera/test-connection" '{"timeout_seconds": 10, "check_credentials": true}'
call GET "/api/v1/cameras/export?format=csv&include_credentials=false" | head -n 2
call GET /api/v1/cameras/summary
call DELETE "/api/v1/cameras/$camera"
