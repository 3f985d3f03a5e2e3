"""What no client of good will sends: broken, ambiguous and smuggled HTTP, and JSON to trip a parser.

Each case goes over a connection of its own. There must be an answer or an end within the patience of the server, never a
fault, and no bytes of a request may be taken for the next one. At the end the server must be as it was, and its log must
know of no panic and no fault.
"""

import json
import os
import re
import socket
import socketserver
import threading
from pathlib import Path
from urllib.parse import urlparse

from rekey_http import ADDRESS, Api
from rekey_site import report

HOST = f"Host: {ADDRESS}\r\n".encode()
# The server gives a head 5 s and a body 10 s; whoever waits longer than this has found a hang.
PATIENCE = 20
# What follows a request on the same connection, if its end was misjudged: nobody asks for it.
SMUGGLED = b"GET /smuggled HTTP/1.1\r\n" + HOST + b"\r\n"


def main():
    api = Api()
    token = api.new_token().encode()
    address = (urlparse(os.environ["SITE_BASE_URL"]).hostname, urlparse(os.environ["SITE_BASE_URL"]).port)
    report("control: a fault, a hang, a smuggled and an open connection are found", control)
    for name, sent, expected in heads(token) + bodies(token):
        report(name, lambda: check(address, sent, expected))
    for name, text in texts().items():
        for method, path in [("POST", "/query-password-info/v1"), ("POST", "/set-password/v1"), ("POST", "/sources/v1"), ("PATCH", "/sources/v1/none")]:
            sent = request(f"{method} {path}".encode(), text, b"Authorization: Bearer " + token + b"\r\nConnection: close\r\n")
            report(f"JSON of {name} to {path}", lambda: check(address, sent, {400, 404, 413}))
    report("many requests at once on one connection are answered in turn", lambda: pipeline(address))
    report("the server is as it was", lambda: alive())
    report("no panic and no fault in the log", quiet)


def request(line, body=b"", headers=b""):
    kind = b"Content-Type: application/json\r\n" if body else b""
    return line + b" HTTP/1.1\r\n" + HOST + headers + kind + b"Content-Length: %d\r\n\r\n" % len(body) + body


def heads(token):
    """A name, what is sent, and the statuses that may come back; 0 is an end without an answer."""
    who = b"Authorization: Bearer " + token + b"\r\n"
    get = b"GET /public-identities/v1 HTTP/1.1\r\n"
    bad, gone = {400}, {0, 400}
    return [
        ("empty lines before a request", b"\r\n\r\nGET /healthz HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n", {0, 200, 400}),
        ("bytes of no protocol", bytes(range(256)) * 8 + b"\r\n\r\n", gone),
        ("the beginning of TLS", bytes.fromhex("16030100c4010000c00303") + b"x" * 64, gone),
        ("the beginning of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", gone),
        ("HTTP/0.9", b"GET /healthz\r\n\r\n", gone),
        ("HTTP/3.7", b"GET /healthz HTTP/3.7\r\n" + HOST + b"\r\n", gone),
        ("a head that never ends", get + HOST + b"X-A: b", gone),
        ("a head larger than allowed", get + HOST + b"X-A: " + b"a" * 70_000 + b"\r\n\r\n", {431}),
        ("more fields than allowed", get + HOST + b"".join(b"X-%d: a\r\n" % n for n in range(150)) + b"\r\n", {431}),
        ("a target longer than allowed", b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n" + HOST + b"\r\n", {400, 414, 431}),
        ("a method of nobody", b"BREW /healthz HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n", {400, 405}),
        ("a method in small letters", b"get /healthz HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n", {400, 405}),
        ("a very long method", b"A" * 5000 + b" / HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n", {400, 401, 404, 405}),
        ("CONNECT", b"CONNECT example.com:443 HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n", {400, 401, 404, 405}),
        ("OPTIONS *", b"OPTIONS * HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n", {400, 401, 404, 405}),
        ("TRACE", b"TRACE /healthz HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n", {405}),
        ("a whole URL as target", b"GET http://evil.example/healthz HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n", {200, 400}),
        ("a NUL in the target", b"GET /\0healthz HTTP/1.1\r\n" + HOST + b"\r\n", gone),
        ("a tab in the target", b"GET /a\tb HTTP/1.1\r\n" + HOST + b"\r\n", gone),
        ("a blank too many", b"GET  /healthz HTTP/1.1\r\n" + HOST + b"\r\n", gone),
        ("bytes above ASCII in the target", b"GET /\xff\xfe HTTP/1.1\r\n" + HOST + who + b"Connection: close\r\n\r\n", {0, 400, 404}),
        ("percent signs of nothing", b"GET /accounts/v1/%zz%?%=% HTTP/1.1\r\n" + HOST + who + b"Connection: close\r\n\r\n", {400, 404}),
        ("an overlong dot", b"GET /accounts/v1/%c0%ae%c0%ae/ HTTP/1.1\r\n" + HOST + who + b"Connection: close\r\n\r\n", {404}),
        ("a way up", b"GET /accounts/v1/..%2f..%2fhealthz HTTP/1.1\r\n" + HOST + who + b"Connection: close\r\n\r\n", {404}),
        ("lines that end in LF alone", get.replace(b"\r", b"") + HOST.replace(b"\r", b"") + b"Connection: close\n\n", {400, 401}),
        ("lines that end in CR alone", (get + HOST + b"\r\n").replace(b"\n", b""), gone),
        ("a folded field", get + HOST + b"X-A: a\r\n b\r\n\r\n", gone),
        ("a blank before the colon", get + HOST + b"X-A : a\r\n\r\n", gone),
        ("a field without a name", get + HOST + b": a\r\n\r\n", gone),
        ("a NUL in a field's name", get + HOST + b"X-\0: a\r\n\r\n", gone),
        ("a NUL in a field's value", get + HOST + b"X-A: \0\r\n\r\n", gone),
        ("no Host", get + b"Connection: close\r\n\r\n", bad),
        ("two Hosts", get + HOST + b"Host: evil.example\r\n\r\n", bad),
        ("two tokens", get + HOST + who + b"Authorization: Bearer x\r\nConnection: close\r\n\r\n", bad),
        ("a token above ASCII", get + HOST + b"Authorization: Bearer \xff\xfe\r\nConnection: close\r\n\r\n", {400, 401}),
        ("a token of 50,000 letters", get + HOST + b"Authorization: Bearer " + b"a" * 50_000 + b"\r\nConnection: close\r\n\r\n", {401}),
        ("an expectation of nobody", get + HOST + b"Expect: miracles\r\nConnection: close\r\n\r\n", {401, 417}),
        ("an upgrade to HTTP/2", get + HOST + b"Connection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\nHTTP2-Settings: AAA\r\n\r\n", {401}),
        ("HTTP/1.0 that asks to be kept", b"GET /healthz HTTP/1.0\r\nConnection: close\r\n\r\n", {200}),
    ]


def bodies(token):
    """Requests of whose end two readers may think differently: the next one must not be in it."""
    post = b"POST /query-password-info/v1 HTTP/1.1\r\n" + HOST + b"Authorization: Bearer " + token + b"\r\nContent-Type: application/json\r\n"
    chunked = b"Transfer-Encoding: chunked\r\n"
    gone = {0, 400}
    cases = []
    for length in [b"-1", b"+2", b"2,2", b"2, 3", b"0x2", b"2 2", b"1e1", b"", b"a", b"18446744073709551616", b"9" * 40, b"\x0b2"]:
        cases.append((f"a length of {length!r}", post + b"Content-Length: " + length + b"\r\n\r\n{}" + SMUGGLED, gone))
    for coding in [b"xchunked", b"identity", b"chunked, identity", b"gzip", b"\x0bchunked", b"chunked, chunked", b",", b"\"chunked\""]:
        cases.append((f"a coding of {coding!r}", post + b"Transfer-Encoding: " + coding + b"\r\n\r\n2\r\n{}\r\n0\r\n\r\n" + SMUGGLED, gone | {501}))
    for size in [b"-2", b"0x2", b"+2", b"2 2", b"g", b"", b"fffffffffffffffff", b"2\0"]:
        cases.append((f"a chunk of {size!r}", post + chunked + b"\r\n" + size + b"\r\n{}\r\n0\r\n\r\n" + SMUGGLED, gone))
    return cases + [
        ("two lengths that differ", post + b"Content-Length: 2\r\nContent-Length: 60\r\n\r\n{}" + SMUGGLED, gone),
        ("a length, then chunks", post + b"Content-Length: 2\r\n" + chunked + b"\r\n0\r\n\r\n" + SMUGGLED, gone),
        ("chunks, then a length", post + chunked + b"Content-Length: 60\r\n\r\n0\r\n\r\n" + SMUGGLED, gone),
        ("chunks in HTTP/1.0", post.replace(b"HTTP/1.1", b"HTTP/1.0") + chunked + b"\r\n2\r\n{}\r\n0\r\n\r\n" + SMUGGLED, gone),
        ("a chunk without its end", post + chunked + b"\r\n2\r\n{}XX0\r\n\r\n" + SMUGGLED, gone),
        ("a chunk's extension without end", post + chunked + b"\r\n2;" + b"a" * 70_000, gone | {408}),
        ("trailers without end", post + chunked + b"\r\n0\r\n" + b"A: b\r\n" * 20_000, gone | {408, 413, 431}),
        ("a body that never comes", post + b"Content-Length: 100\r\n\r\n{", {408}),
        ("a body larger than allowed", post + b"Connection: close\r\nContent-Length: 70000\r\n\r\n" + b" " * 70_000, {0, 413}),
        ("a body of 16 exabytes", post + b"Content-Length: 18446744073709551614\r\n\r\n{}", {0, 400, 408, 413, 431}),
    ]


def texts():
    """Bodies that say they are JSON."""
    return {
        "nothing": b" ",
        "half a text": b'"',
        "a mark of order": b"\xef\xbb\xbf{}",
        "UTF-16": "{}".encode("utf-16"),
        "bytes that are not UTF-8": b'{"userName": "\xff\xfe"}',
        "half a pair": b'{"userName": "\\ud800"}',
        "a NUL": b'{"userName": "\\u0000", "sourceName": "x"}',
        "a raw NUL": b'{"userName": "\0"}',
        "a number beyond all": b'{"userName": 1e999999}',
        "a number of 10,000 digits": b'{"userName": ' + b"9" * 10_000 + b"}",
        "not a number": b'{"userName": NaN}',
        "a comma too many": b'{"userName": "a",}',
        "a member twice": b'{"userName": "a", "userName": "b"}',
        "10,000 brackets": b"[" * 10_000,
        "10,000 objects": b'{"a":' * 10_000,
        "a list": b"[1, 2]",
        "a prototype": b'{"__proto__": {"userName": "a"}, "constructor": {}}',
        "a patch of nothing": b'[{"op": "copy", "from": "", "path": "/a"}, {"op": "move", "from": "/a", "path": "/a/b"}]',
        "a patch far away": b'[{"op": "add", "path": "/features/99999999999999999999", "value": 1}]',
        "60,000 members": b"{" + b",".join(b'"%d":0' % n for n in range(6_000)) + b"}",
    }


def check(address, sent, expected):
    statuses, rest = exchange(address, sent)
    assert all(status < 500 or status == 501 for status in statuses), f"a fault: {statuses} {rest!r}"
    first = statuses[0] if statuses else 0
    assert first in expected, f"{first} and not one of {sorted(expected)}: {rest!r}"
    assert len(statuses) <= 1, f"the end of the request was misjudged: {statuses}"


def exchange(address, sent):
    """The statuses of all answers until the server ends the connection, and the beginning of what came."""
    with socket.create_connection(address, timeout=PATIENCE) as connection:
        received = b""
        try:
            connection.sendall(sent)
            while chunk := connection.recv(65_536):
                received += chunk
        except TimeoutError:
            raise AssertionError(f"the connection stays open, after {received[:200]!r}") from None
        except OSError:
            pass  # ended before all was read
    statuses = [int(status) for status in re.findall(rb"HTTP/1\.[01] (\d{3})", received)]
    return statuses, received[:200]


def pipeline(address):
    one = b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\n"
    last = b"GET /healthz HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n"
    statuses, _ = exchange(address, one * 99 + last)
    assert statuses == [200] * 100, f"{len(statuses)} answers: {set(statuses)}"


def alive():
    assert Api.ready(), "it is not ready"
    status, _ = Api().get("/v3/public-identities?limit=1")
    assert status == 200, f"it answers {status}"


def quiet():
    log = Path(os.environ["SITE_LOG"]).read_text(errors="replace")
    assert "panicked" not in log, "a panic"
    faults = [line for line in log.splitlines() if " ERROR " in line or '"level":"ERROR"' in line]
    assert not faults, f"{len(faults)} faults: {faults[0][:300]}"


def control():
    """Servers that do each of it wrong must be found out."""
    global PATIENCE
    answer = b"HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n"
    patience, PATIENCE = PATIENCE, 0.5
    for name, says, ends in [
        ("fault", answer % 500, True), ("silence", b"", False), ("smuggled", answer % 400 + answer % 404, True),
        ("open", answer % 400, False), ("accepted", answer % 200, True),
    ]:
        class Handler(socketserver.BaseRequestHandler):
            def handle(self):
                self.request.recv(65_536)
                self.request.sendall(says)
                if not ends:
                    self.request.recv(1)

        with socketserver.TCPServer(("127.0.0.1", 0), Handler) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            try:
                check(server.server_address, b"x", {0, 400})
            except AssertionError:
                continue
            finally:
                server.shutdown()
        raise AssertionError(f"{name} was not found")
    PATIENCE = patience


main()
