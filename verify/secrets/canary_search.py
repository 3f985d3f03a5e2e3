"""Where a secret could have been written down, and in which forms."""

import base64
import http.client
import json
import os
import subprocess
import tempfile
import time
from html import escape
from pathlib import Path
from urllib.parse import quote, quote_plus, urlparse

FOLDER = Path.cwd()
DATA = FOLDER / "rekey-data"
BEGAN = time.time()
# Bodies and headers of everything rekey answered, token answers left out.
ANSWERS = []
# A file larger than this in the system's folder for temporary files is somebody else's.
LARGEST = 50_000_000


def nowhere(*words):
    found = [place for word in words for place in findings(word)]
    assert not found, "; ".join(found)


def findings(word, besides=()):
    """Where the secret is, and in which form. `besides` names the files that are meant to hold it."""
    wanted = forms(word)
    return [
        f"{name} in {place}"
        for place, content in places()
        if place not in besides
        for name, form in wanted.items()
        if form in content
    ]


def places():
    """What there is, by name: files, logs, dumps, answers, and what the system says of the process."""
    for file in sorted(DATA.rglob("*")):
        if file.is_file() and file.name != "bootstrap.json":
            yield file.name, file.read_bytes()
    for log in ["SITE_LOG", "SITE_LDAP_LOG", "SITE_POSTGRESQL_LOG"]:
        yield log, Path(os.environ[log]).read_bytes()
    yield "pg_stat_statements", query(STATEMENTS)
    if store := os.environ.get("SITE_DUMP"):
        yield "pg_dump", client("pg_dump", urlparse(store))
    yield "an answer", b"\n".join(ANSWERS)
    yield "/metrics", metrics()
    for name in ["cmdline", "environ"]:
        yield f"the process's {name}", b"".join(Path("/proc", pid, name).read_bytes() for pid in processes())
    for file in Path(tempfile.gettempdir()).iterdir():
        try:
            if file.is_file() and file.stat().st_mtime > BEGAN and file.stat().st_size < LARGEST:
                yield str(file), file.read_bytes()
        except OSError:
            pass  # somebody else's, or gone


def metrics():
    """What whoever watches the server reads now."""
    connection = http.client.HTTPConnection(os.environ["SITE_METRICS"], timeout=30)
    connection.request("GET", "/metrics")
    answer = connection.getresponse()
    text = answer.read()
    assert answer.status == 200 and b"\nrekey_" in text, f"/metrics answered {answer.status}: {text[:200]}"
    connection.close()
    return str(answer.getheaders()).encode() + b"\n" + text


STATEMENTS = "select query from pg_stat_statements"


def query(*statements):
    """Asks the target system as its superuser."""
    each = [word for statement in statements for word in ("-c", statement)]
    return client("psql", urlparse(os.environ["SITE_POSTGRESQL_ADMIN"]), "-X", "-A", "-t", *each)


def client(program, url, *more):
    words = ["-h", url.hostname, "-p", str(url.port), "-U", url.username, "-d", url.path[1:], *more]
    environment = os.environ | {"PGPASSWORD": url.password}
    return subprocess.run([program, *words], env=environment, check=True, capture_output=True).stdout


def processes():
    """The server's: the binary of this site, in its folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            binary = Path(os.environ["SITE_BINARY"]).resolve()
            if (process / "exe").resolve() == binary and (process / "cwd").resolve() == FOLDER:
                found.append(process.name)
        except OSError:
            pass  # somebody else's, or gone
    assert found, "the server's process is not there"
    return found


def forms(word):
    raw = word if isinstance(word, bytes) else word.encode()
    shifted = {}
    for shift in range(3):
        text = base64.b64encode(b"p" * shift + raw).rstrip(b"=")[4 if shift else 0:-4]
        shifted[f"base64 {shift}"] = text
        shifted[f"base64 {shift}, for URLs"] = text.translate(bytes.maketrans(b"+/", b"-_"))
    every = shifted | {
        "raw": raw,
        "reversed": raw[::-1],
        "hex": raw.hex().encode(),
        "HEX": raw.hex().upper().encode(),
        "list of bytes": ", ".join(map(str, raw)).encode(),
        "dense list of bytes": ",".join(map(str, raw)).encode(),
    }
    return every if isinstance(word, bytes) else every | texts(word)


def texts(word):
    """Forms that only text has."""
    encoded = quote(word, safe="")
    return {
        "URL-encoded": encoded.encode(),
        "url-encoded": "".join(part.lower() if part[:1] == "%" else part for part in percents(encoded)).encode(),
        "form-encoded": quote_plus(word).encode(),
        "UTF-16LE": word.encode("utf-16-le"),
        "UTF-16BE": word.encode("utf-16-be"),
        "Latin-1": word.encode("latin-1"),
        "JSON": json.dumps(word)[1:-1].encode(),
        "JSON in UTF-8": json.dumps(word, ensure_ascii=False)[1:-1].encode(),
        "JSON in JSON": json.dumps(json.dumps(word))[3:-3].encode(),
        "quotes doubled": word.replace("'", "''").encode(),
        "double quotes doubled": word.replace('"', '""').encode(),
        "backslashes doubled": word.replace("\\", "\\\\").encode(),
        "HTML": escape(word).encode(),
        "escaped like Rust": json.dumps(word, ensure_ascii=False)[1:-1].replace("'", "\\'").encode(),
    }


def percents(encoded):
    """The text, cut before and after each `%XX`."""
    at = 0
    while at < len(encoded):
        end = at + 3 if encoded[at] == "%" else at + 1
        yield encoded[at:end]
        at = end
