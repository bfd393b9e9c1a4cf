#!/bin/sh
# Ten thousand orders of three regions and an operator at two copies of a zone, with either way to compare
# (tests/unit/dns_schedules.c). What came out goes to docs/schedules.json; of fewer to build/schedules.json.
# usage: [KC_SCHEDULES=10000] [KC_SEED=N] tools/schedules.sh [PROGRAM]     KC_SEED: else another one each day
set -eu

top=$(cd "$(dirname "$0")/.." && pwd)
program=${1:-$top/build/release/tests/test-dns_schedules}
KC_SCHEDULES=${KC_SCHEDULES:-10000}
day=$(($(date +%s) / 86400))
KC_SEED=${KC_SEED:-${day}00000}
export KC_SCHEDULES KC_SEED
echo "KC_SEED=$KC_SEED KC_SCHEDULES=$KC_SCHEDULES"

verdict=passed
began=$(date +%s)
"$program" || verdict=failed
case $KC_SCHEDULES in
?????*) out=$top/docs/schedules.json ;;
*) out=$top/build/schedules.json ;;
esac
cat >"$out.new" <<END
{
 "date": "$(date -u +%F)",
 "seed": $KC_SEED,
 "schedules": $KC_SCHEDULES,
 "comparing": ["all that was read, as RFC 2136 servers", "what is replaced and TXT records, as Route 53"],
 "seconds": $(($(date +%s) - began)),
 "result": "$verdict"
}
END
mv "$out.new" "$out"
[ "$verdict" = passed ]
