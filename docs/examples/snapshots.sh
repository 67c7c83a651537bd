#!/bin/sh
# Snapshots on demand, from a shell:
#
#     export VEDETTE_PASSWORD=...
#     sh snapshots.sh health
#     sh snapshots.sh devices                      # the cameras, with their status
#     sh snapshots.sh capture front-door           # prints the metadata; the id is in it
#     sh snapshots.sh list front-door              # also: latest front-door, delete SNAPSHOT_ID
#     sh snapshots.sh image SNAPSHOT_ID front-door.jpg
#
# VEDETTE_API and VEDETTE_USER name another server than http://localhost:8069 and another user than admin. The password and
# the token are sent from files, because other users of the machine see the arguments of programs.
set -eu
api="${VEDETTE_API:-http://localhost:8069}"
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT

call() {  # METHOD PATH: prints the response; fails with the problem if it is one
  status="$(curl --silent --show-error --config "$folder/curl" -X "$1" -o "$folder/body" -w '%{http_code}' "$api$2")"
  cat "$folder/body"; echo
  [ "$status" -lt 400 ]
}

: > "$folder/curl"
if [ "$1" = health ]; then
  call GET /api/health
  exit
fi
printf '{"username": "%s", "password": "%s"}' "${VEDETTE_USER:-admin}" "$VEDETTE_PASSWORD" > "$folder/login"
token="$(curl --fail --silent --show-error -X POST "$api/api/auth/login-json" -H 'Content-Type: application/json' \
  --data "@$folder/login" | sed -n 's/.*"access_token": *"\([^"]*\)".*/\1/p')"
printf 'header = "Authorization: Bearer %s"\n' "$token" > "$folder/curl"

case "$1" in
  devices) call GET /api/devices/ ;;
  capture) call POST "/api/snapshots/capture/$2" ;;
  list) call GET "/api/snapshots/device/$2?page=1&per_page=10" ;;
  latest) call GET "/api/snapshots/device/$2/latest" ;;
  delete) call DELETE "/api/snapshots/$2" ;;
  image)  # JSON with the image in base64
    call GET "/api/snapshots/$2/image" > "$folder/image"
    sed -n 's/.*"image_data": *"\([^"]*\)".*/\1/p' "$folder/image" | base64 --decode > "$3" ;;
  *) echo "snapshots.sh: unknown request $1" >&2; exit 2 ;;
esac
