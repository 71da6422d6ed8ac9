"""The lab's HTTP server: answers every GET with 64 KiB, so that full-size packets cross. Argument: ADDRESS:PORT.

Prints its process id once it listens.
"""

import http.server
import os
import socket
import sys

BODY = b"served by the lab\n" * 3641


class Handler(http.server.BaseHTTPRequestHandler):
    """One answer for every path."""

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", str(len(BODY)))
        self.end_headers()
        self.wfile.write(BODY)

    def log_message(self, *_):
        """Says nothing: the lab's log is for what fails."""


class Server(http.server.ThreadingHTTPServer):
    """Listens on IPv6 too, where the address is one."""

    daemon_threads = True

    def __init__(self, address, port):
        self.address_family = socket.AF_INET6 if ":" in address else socket.AF_INET
        super().__init__((address, port), Handler)


if __name__ == "__main__":
    listen, _, number = sys.argv[1].rpartition(":")
    server = Server(listen.strip("[]"), int(number))
    print(os.getpid(), flush=True)
    server.serve_forever()
