"""python -m bench.failover: what a client sees when a target dies, at a real PowerDNS that checks every
second: the policy's TTL is 5 s, and the time is from the death (its socket is closed) to the first answer
without it, asked every 10 ms as a resolver without a cache does. A resolver's cache adds up to the TTL.

BENCH_RUNS: how often (10). Writes build/bench/failover.json."""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from lab.cli import REPO, binary
from lab.dns import NAME, WORLD, Targets, policy, powerdns_copy
from lab.nameservers import PowerDNS

OUT = REPO / "build/bench"
TTL, CLIENT = 5, "+subnet=198.18.1.0/24"


def answers(server):
    return server.dig(NAME, "A", CLIENT).get((f"{NAME}.", "A"), (None, []))[1]


def until(server, wanted):
    """Seconds until the answer is that, and every other answer on the way."""
    start, seen = time.monotonic(), []
    while (now := answers(server)) != wanted:
        if now not in seen:
            seen.append(now)
        if time.monotonic() - start > 30:
            raise RuntimeError(f"still {now} instead of {wanted}")
        time.sleep(0.01)
    return round(time.monotonic() - start, 2), seen


def one(server, targets):
    targets.stop("127.0.1.1")
    gone, _ = until(server, ["127.0.1.2"])
    targets.start("127.0.1.1")
    back, _ = until(server, ["127.0.1.1"])
    return {"gone": gone, "back": back}


def measure(folder, runs):
    targets = Targets(e["addresses"][0] for e in WORLD)
    try:
        with PowerDNS(folder / "pdns") as server:
            file = folder / "policy.yaml"
            ends = {e["id"]: e for e in WORLD}
            spec = {"route": "latency", "health": targets.health(), "ttl": {"answer": TTL}}
            file.write_text(json.dumps(policy(powerdns_copy(server), endpoints=ends, **spec)))
            subprocess.run(
                [binary(), "dns", "apply", "-f", file, "--yes"], check=True, stdout=subprocess.DEVNULL
            )
            until(server, ["127.0.1.1"])
            time.sleep(2)
            return [one(server, targets) for _ in range(runs)]
    finally:
        targets.close()


def main():
    runs = int(os.environ.get("BENCH_RUNS", "10"))
    with tempfile.TemporaryDirectory() as folder:
        got = measure(Path(folder), runs)
    result = {"ttl": TTL, "runs": got}
    for what in ("gone", "back"):
        v = sorted(r[what] for r in got)
        result[what] = {"min": v[0], "median": statistics.median(v), "max": v[-1]}
        print(f"{what}: min {v[0]}, median {statistics.median(v)}, max {v[-1]} s of {runs}; target: 2 s")
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / "failover.json").write_text(json.dumps(result, indent=1) + "\n")
    return 0 if result["gone"]["max"] <= 2 else 1


if __name__ == "__main__":
    sys.exit(main())
