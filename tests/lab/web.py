"""An HTTP server of a test's own, on loopback, in a thread."""

import threading
from http.server import ThreadingHTTPServer


class Web:
    """Serves by handler, a class, from now on. Attributes: server, url."""

    def __init__(self, handler):
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()
