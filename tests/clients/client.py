"""Sends the requests that stdin describes, and prints what came of each as a line of JSON: see README.md.

HTTP/1.1 is http.client of the standard library, HTTP/2 is httpx.
"""

import http.client
import json
import ssl
import sys
import time
from urllib.parse import urlsplit

PIECE = 8 * 1024
PATIENCE_SECONDS = 20


class Request:
    """A line of stdin."""

    def __init__(self, line):
        self.options = dict(option.split("=", 1) for option in line.split("\t"))
        self.url = self.options["url"]
        self.method = self.options["method"]
        self.framing = self.options["body"]
        self.size = int(self.options["size"])
        self.headers = {"content-type": self.options["type"]} if "type" in self.options else {}

    def tls(self):
        context = ssl.create_default_context(cafile=self.options["ca"])
        if "cert" in self.options:
            context.load_cert_chain(self.options["cert"], self.options["key"])
        return context

    def pieces(self):
        """The body, late and little by little."""
        body = b'{"replicas":4}'.ljust(self.size)[: self.size]
        time.sleep(int(self.options["pause"]) / 1000)
        for start in range(0, self.size, PIECE):
            yield body[start : start + PIECE]

    def chunks(self):
        """The same, in HTTP/1.1's chunks."""
        for piece in self.pieces():
            yield b"%x\r\n%s\r\n" % (len(piece), piece)
        yield b"0\r\nx-end: yes\r\n\r\n" if self.framing == "trailers" else b"0\r\n\r\n"

    def unsupported(self):
        if "expect" in self.options:
            return "neither http.client nor httpx waits for 100 Continue"
        if self.options["protocol"] == "h2" and self.framing == "trailers":
            return "httpx sends no trailers"
        return None


class Http1:
    def __init__(self, request):
        url = urlsplit(request.url)
        tls = request.tls()
        self.connection = http.client.HTTPSConnection(url.hostname, url.port, timeout=PATIENCE_SECONDS, context=tls)

    def send(self, request):
        connection, url = self.connection, urlsplit(request.url)
        connection.putrequest(request.method, f"{url.path}?{url.query}" if url.query else url.path)
        framing = {"none": {}, "length": {"content-length": str(request.size)}}
        framing = framing.get(request.framing, {"transfer-encoding": "chunked"})
        for name, value in (request.headers | framing).items():
            connection.putheader(name, value)
        connection.endheaders()
        if request.framing != "none":
            for piece in request.pieces() if request.framing == "length" else request.chunks():
                connection.send(piece)
        answer = connection.getresponse()
        text = answer.read().decode()
        return {"status": answer.status, "protocol": "h1", "headers": dict(answer.getheaders()), "body": text}

    def close(self):
        self.connection.close()


class Http2:
    def __init__(self, request):
        import httpx

        tls = request.tls()
        self.client = httpx.Client(http1=False, http2=True, verify=tls, timeout=PATIENCE_SECONDS, trust_env=False)

    def send(self, request):
        headers, content = request.headers, request.pieces()
        if request.framing == "none":
            content = None
        elif request.framing == "length":
            headers = headers | {"content-length": str(request.size)}
        answer = self.client.request(request.method, request.url, headers=headers, content=content)
        protocol = {"HTTP/2": "h2"}.get(answer.http_version, answer.http_version)
        return {"status": answer.status_code, "protocol": protocol, "headers": dict(answer.headers), "body": answer.text}

    def close(self):
        self.client.close()


def results(request):
    """What came of each try."""
    if reason := request.unsupported():
        yield {"unsupported": reason}
        return
    client = None
    for _ in range(int(request.options["tries"])):
        client = client or {"h1": Http1, "h2": Http2}[request.options["protocol"]](request)
        try:
            yield client.send(request)
            used_up = "kept" not in request.options
        except Exception as error:  # whatever it is, it is the result
            yield {"error": f"{type(error).__name__}: {error}"}
            used_up = True
        if used_up:
            client.close()
            client = None


for line in sys.stdin:
    for result in results(Request(line.rstrip("\n"))):
        print(json.dumps(result), flush=True)
