"""A directory that repeats the password in its refusals, in every form a directory may: rekey must not repeat it.

Just enough of LDAP (RFC 4511): it lets everyone in, has one person in it, and refuses the password modify operation.
"""

import base64
import json
import os
import socketserver
import subprocess
import threading
import time

from canary_search import FOLDER, forms, nowhere
from rekey_http import info_of, sealed
from rekey_site import report

USER, SOURCE, BASE = "u40", "Echo", b"dc=echo"
SAID = []


def check(api, canary, ended):
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Directory) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        report("a directory that repeats passwords is connected", lambda: connect(api, server.server_address[1]))
        for name in echoes("x"):
            word = canary()
            Directory.form = name
            report(f"the directory repeats the canary, {name}", lambda: refuse(api, word, ended))
        report("no canary the directory repeated", lambda: nowhere(*REFUSED))
        server.shutdown()


REFUSED = []


def refuse(api, word, ended):
    SAID.clear()
    REFUSED.append(word)
    state = ended(sealed(info_of(api, USER, SOURCE), word))
    assert state == "FAILED", f"{state}, and it was refused"
    assert any(echoes(word)[Directory.form] in text for text in SAID), "it was not repeated: the check is blind"
    nowhere(word)


def echoes(word):
    """What a text of LDAP, which is UTF-8, may have of a password."""
    whole = {f"base64 {shift}": base64.b64encode(b"p" * shift + word.encode() + b"after") for shift in range(3)}
    plain = ["raw", "hex", "HEX", "URL-encoded", "url-encoded", "JSON", "JSON in UTF-8", "quotes doubled", "double quotes doubled", "backslashes doubled"]
    every = forms(word)
    return whole | {name: every[name] for name in plain}


def connect(api, port):
    attributes = {
        "host": "127.0.0.1", "port": port, "tls": "none", "allowInsecure": True, "bindDn": "cn=rekey",
        "bindPassword": "nobody-minds", "baseDn": BASE.decode(), "accountFilter": "(objectClass=*)",
        "correlation": {"accountAttribute": "uid", "identityAttribute": "alias"},
    }
    source = {"name": SOURCE, "connector": "ldap", "owner": USER, "features": ["PASSWORD"], "connectorAttributes": attributes}
    file = FOLDER / "echo.yaml"
    file.write_text(json.dumps({"sources": [source]}))
    subprocess.run([os.environ["SITE_BINARY"], "apply", "-f", str(file)], check=True, capture_output=True)
    found = api.get("/v3/sources?filters=name+eq+%22Echo%22")[1][0]["id"]
    task = api.ask("POST", f"/v2025/sources/{found}/load-accounts", None)[1]["task"]["id"]
    deadline = time.monotonic() + 60
    while not (state := api.get(f"/v2025/task-status/{task}")[1])["completed"]:
        assert time.monotonic() < deadline, "its accounts were not read within 60 s"
        time.sleep(0.05)
    assert state["completionStatus"] == "SUCCESS", state["messages"]


PASSWORD_MODIFY = b"1.3.6.1.4.1.4203.1.11.1"  # RFC 3062


class Directory(socketserver.StreamRequestHandler):
    """One connection."""

    form = "raw"

    def handle(self):
        while message := read(self.rfile):
            number, operation, *_ = parts(message)
            for answer in self.answers(operation):
                self.wfile.write(tlv(0x30, tlv(0x02, number[1]) + answer))

    def answers(self, operation):
        kind, content = operation
        if kind == 0x60:  # bind
            return [result(0x61, 0)]
        if kind == 0x63:  # search
            is_own = parts(content)[0][1] == b"cn=rekey"
            return ([] if is_own else [self.entry()]) + [result(0x65, 0) + PAGES]
        if kind == 0x77 and parts(content)[0][1] != PASSWORD_MODIFY:
            return [result(0x78, 2)]
        if kind == 0x77:
            request = parts(parts(content)[-1][1])[0][1]
            word = next(value for tag, value in parts(request) if tag == 0x82)
            text = b"it is too weak: " + echoes(word.decode())[self.form] + b", is it not"
            SAID.append(text)
            return [result(0x78, 53, text)]
        return []

    def entry(self):
        name = b"uid=" + USER.encode() + b"," + BASE
        values = {"uid": USER, "cn": USER, "sn": USER, "objectClass": "inetOrgPerson", "entryCSN": "20260101000000.000000Z#000000#000#000000"}
        attributes = b"".join(
            tlv(0x30, tlv(0x04, name.encode()) + tlv(0x31, tlv(0x04, value.encode()))) for name, value in values.items()
        )
        return tlv(0x64, tlv(0x04, name) + tlv(0x30, attributes))


def result(kind, code, text=b""):
    return tlv(kind, tlv(0x0A, bytes([code])) + tlv(0x04, b"") + tlv(0x04, text))


def tlv(tag, value):
    size = len(value)
    length = bytes([size]) if size < 0x80 else bytes([0x82]) + size.to_bytes(2, "big")
    return bytes([tag]) + length + value


# The last page (RFC 2696).
PAGES = tlv(0xA0, tlv(0x30, tlv(0x04, b"1.2.840.113556.1.4.319") + tlv(0x04, tlv(0x30, tlv(0x02, b"\0") + tlv(0x04, b"")))))


def read(stream):
    """The content of the next message; nothing at the end."""
    head = stream.read(2)
    if len(head) < 2:
        return b""
    size = head[1]
    if size & 0x80:
        size = int.from_bytes(stream.read(size & 0x7F), "big")
    return stream.read(size)


def parts(content):
    """The elements of a sequence, each as its tag and its value."""
    found = []
    while content:
        tag, size, at = content[0], content[1], 2
        if size & 0x80:
            at += size & 0x7F
            size = int.from_bytes(content[2:at], "big")
        found.append((tag, content[at : at + size]))
        content = content[at + size :]
    return found
