#!/bin/sh
# What an operator's script for Compose's API looked like: base URL, deployment id and token from the credentials.
# Prints a line for each step; ends at the first that fails.
set -eu
BASE=$1 DEPLOYMENT=$2 TOKEN=$3

call() { # method path [body]
  method=$1 path=$2
  shift 2
  curl -sS --fail-with-body --max-time 20 -X "$method" "$BASE$path" \
    -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/json' ${1:+-d "$1"}
}
field() { sed -n "s/.*\"$1\":\"\{0,1\}\([^\",}]*\).*/\1/p"; } # the last of that name on standard input
first_id() { sed -n 's/^[^\[]*\[{"id":"\([^"]*\)".*/\1/p'; }
wait_for() { # recipe id
  for _ in $(seq 100); do
    status=$(call GET "/recipes/$1" | field status)
    case $status in
    complete) return 0 ;;
    failed) echo "recipe $1 failed" >&2 && return 1 ;;
    esac
    sleep 0.1
  done
  echo "recipe $1 is still $status" >&2
  return 1
}

found=$(call GET /deployments | first_id)
[ "$found" = "$DEPLOYMENT" ] && echo "deployment $found"
echo "type $(call GET "/deployments/$DEPLOYMENT" | field type)"

echo "units $(call GET "/deployments/$DEPLOYMENT/scalings" | field allocated_units)"
recipe=$(call POST "/deployments/$DEPLOYMENT/scalings" '{"deployment":{"units":2}}' | field id)
wait_for "$recipe"
echo "units $(call GET "/deployments/$DEPLOYMENT/scalings" | field allocated_units)"
call GET "/deployments/$DEPLOYMENT/recipes" | grep -q "$recipe" && echo 'recipe is listed'

recipe=$(call POST "/deployments/$DEPLOYMENT/backups" | field id)
wait_for "$recipe"
backup=$(call GET "/deployments/$DEPLOYMENT/backups" | first_id)
echo "backup $(call GET "/deployments/$DEPLOYMENT/backups/$backup" | field type)"
link=$(call GET "/deployments/$DEPLOYMENT/backups/$backup" | field download_link)
echo "downloaded $(curl -sS --fail --max-time 20 -H "Authorization: Bearer $TOKEN" "$link" | wc -l) lines"
recipe=$(call POST "/deployments/$DEPLOYMENT/backups/$backup/restore" | field id)
wait_for "$recipe" && echo restored

call POST "/deployments/$DEPLOYMENT/whitelist" \
  '{"deployment":{"whitelist":{"ip":"127.0.0.0/8","description":"office"}}}' >/dev/null
echo "whitelist $(call GET "/deployments/$DEPLOYMENT/whitelist" | field ip)"
entry=$(call GET "/deployments/$DEPLOYMENT/whitelist" | first_id)
call DELETE "/deployments/$DEPLOYMENT/whitelist/$entry" >/dev/null
call GET "/deployments/$DEPLOYMENT/whitelist" | grep -q '"whitelist":\[\]' && echo 'whitelist is empty'
call GET "/deployments/$DEPLOYMENT/versions" | grep -q '"transitions":\[\]' && echo 'no other version'
