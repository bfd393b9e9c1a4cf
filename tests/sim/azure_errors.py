"""How Azure says no. Resource Manager and Traffic Manager wrap {"error": {code, message}}; Azure DNS itself
gives {code, message} bare (both as recorded); Entra has the error of OAuth with AADSTS numbers."""

import json
import time
import uuid

from sim.server import Reply


class Refused(Exception):
    def __init__(self, status, code, message, headers=None, bare=False):
        super().__init__(message)
        self.status, self.code, self.message = status, code, message
        self.headers, self.bare = headers or {}, bare

    def reply(self):
        error = {"code": self.code, "message": self.message}
        return answer(self.status, error if self.bare else {"error": error}, self.headers)


def dns_refused(status, code, message):
    return Refused(status, code, message, bare=True)


def answer(status, data=None, headers=None):
    """A reply with JSON, or an empty one."""
    common = {"x-ms-request-id": str(uuid.uuid4()), "Cache-Control": "no-cache"}
    if data is None:
        return Reply(status, b"", {**common, **(headers or {})})
    kind = {"Content-Type": "application/json; charset=utf-8"}
    return Reply(status, json.dumps(data).encode(), {**common, **kind, **(headers or {})})


def throttled(action, seconds):
    """429 as Resource Manager words it (terraform-provider-azurerm#14213)."""
    return Refused(
        429,
        "ResourceRequestsThrottled",
        f"Number of requests for action '{action}' exceeded the limit of '500' for time interval '00:05:00'."
        f" Please try again after '{seconds}' seconds.",
        {"Retry-After": str(seconds)},
    )


def entra_refused(status, error, number, text):
    """The shape is that of the reference of error codes at learn.microsoft.com."""
    trace, correlation = str(uuid.uuid4()), str(uuid.uuid4())
    now = time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime())
    return answer(
        status,
        {
            "error": error,
            "error_description": f"AADSTS{number}: {text} Trace ID: {trace} Correlation ID: {correlation}"
            f" Timestamp: {now}",
            "error_codes": [number],
            "timestamp": now,
            "trace_id": trace,
            "correlation_id": correlation,
            "error_uri": f"https://login.microsoftonline.com/error?code={number}",
        },
    )
