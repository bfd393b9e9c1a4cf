"""An HTTP(S) server of a simulated API, with faults that a test plants."""

import re
import ssl
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, unquote, urlsplit


@dataclass
class Request:
    method: str
    path: str  # as sent, still percent-encoded
    query: dict
    headers: dict  # names in lower case
    body: bytes
    parts: list = field(default_factory=list)  # of the path, decoded
    raw_query: str = ""


@dataclass
class Reply:
    status: int = 200
    body: bytes = b""
    headers: dict = field(default_factory=dict)


@dataclass
class Fault:
    """Of the next `times` requests that match (a regular expression over "METHOD /path?query body"),
    `how`: "lose" (done, and the connection closed without a reply), "drop" (closed, nothing done),
    "html" (a 500 that is no API's), "slow:SECONDS", or a function of the Request that gives a Reply."""

    match: str
    how: object
    times: int = 1


class Api:
    """Subclasses have handle(Request) -> Reply. `requests` is all that came, in order. TLS when cert, a PEM
    file with certificate and key, is given."""

    def __init__(self, cert=None):
        self.requests, self.faults, self.lock = [], [], threading.RLock()
        handler = type("Handler", (Handler,), {"api": self})
        self.http = Server(("127.0.0.1", 0), handler)
        if cert:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(cert)
            self.http.socket = context.wrap_socket(
                self.http.socket, server_side=True, do_handshake_on_connect=False
            )
        self.port = self.http.server_address[1]
        self.url = f"{'https' if cert else 'http'}://127.0.0.1:{self.port}"
        self.thread = threading.Thread(target=self.http.serve_forever, args=[0.05], daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *exc):
        self.http.shutdown()
        self.http.server_close()

    def handle(self, request):
        raise NotImplementedError

    def fault(self, match, how, times=1):
        with self.lock:
            self.faults.append(Fault(match, how, times))

    def fault_of(self, request):
        text = f"{request.method} {request.path}?{request.raw_query} {request.body.decode(errors='replace')}"
        with self.lock:
            for f in self.faults:
                if f.times > 0 and re.search(f.match, text, re.DOTALL):
                    f.times -= 1
                    return f.how
        return None


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request, client_address):
        pass  # peers that go away are what the tests are about


class Handler(BaseHTTPRequestHandler):
    api = None
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # head and body go out apart; 40 ms a call otherwise
    timeout = 60
    disable_nagle_algorithm = True  # or each reply waits for the ACK of its headers

    def log_message(self, *args):
        pass

    def send(self, reply):
        self.send_response_only(reply.status)
        for k, v in ({"Date": self.date_time_string()} | reply.headers).items():
            self.send_header(k, v)
        self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(reply.body)

    def hang_up(self):
        self.close_connection = True
        self.connection.close()

    def serve(self):
        url = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        request = Request(
            self.command,
            url.path,
            dict(parse_qsl(url.query, keep_blank_values=True)),
            {k.lower(): v for k, v in self.headers.items()},
            body,
            [unquote(p) for p in url.path.strip("/").split("/")],
            url.query,
        )
        how = self.api.fault_of(request)
        with self.api.lock:
            self.api.requests.append(request)
        if how == "drop":
            return self.hang_up()
        if how == "html":
            return self.send(Reply(500, b"<html><body>Internal Server Error</body></html>"))
        if callable(how):
            return self.send(how(request))
        if isinstance(how, str) and how.startswith("slow:"):
            time.sleep(float(how[5:]))
        reply = self.api.handle(request)
        if how == "lose":
            return self.hang_up()
        return self.send(reply)

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = do_HEAD = serve
