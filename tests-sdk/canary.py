"""Passwords that are easy to find go through rekey, and then must be nowhere on disk.

They are looked for in every form in which software likes to write things down: in the data folder
with its store and write-ahead log, in what rekey said at its most talkative, in what the targets
wrote into their own logs, and, where the store is PostgreSQL, in a dump of it.
"""

import base64
import http.client
import json
import os
import secrets
import subprocess
import time
from pathlib import Path
from urllib.parse import quote, quote_plus, urlencode, urlparse

from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key
from rekey_http import ADDRESS, Api, info_of, request, sealed
from rekey_site import SYSTEMS, report, signs_in

FOLDER = Path.cwd()


def main():
    control()
    api = Api()
    for number, system in enumerate(SYSTEMS, start=1):
        user, word = f"u{number}", canary()
        report(f"the canary went through {system}", lambda: change(api, system, user, word))
        report(f"no canary after a change on {system}", lambda: nowhere(word))

    word = canary()
    report("the canary was refused", lambda: refuse(api, word))
    report("no canary after refusals", lambda: nowhere(word))

    word = canary()
    report("the canary was a first password", lambda: apply(word))
    report("no canary after `rekey apply`", lambda: nowhere(word))

    word = canary()
    report("the canary was tried at the sign-in form", lambda: try_to_sign_in(word))
    report("no canary after a failed sign-in", lambda: nowhere(word))


def canary():
    """Unlike anything else, and with every character that some encoding changes."""
    return f"""aA1-{secrets.token_hex(8)}'"\\%+&é<"""


def control():
    """The search must find a canary in each of its forms, or its silence means nothing."""
    word = canary()
    place = FOLDER / "rekey-data" / "control"
    for name, form in forms(word).items():
        place.write_bytes(b"x" * 3001 + form + b"\n")
        report(f"control: {name} is found", lambda: must_find(word))
    for shift in range(3):
        place.write_bytes(base64.b64encode(b"p" * shift + word.encode() + b"after"))
        report(f"control: base64 with {shift} bytes before is found", lambda: must_find(word))
    place.unlink()


def must_find(word):
    assert findings(word), "the search is blind to it"


def change(api, system, user, word):
    info = info_of(api, user, SYSTEMS[system])
    assert ended(api, sealed(info, word)) == "FINISHED"
    assert signs_in(system, user, word), "the canary does not sign in"


def refuse(api, word):
    """The same password twice, which the directory minds; and one encrypted in the wrong way."""
    info = info_of(api, "u9", SYSTEMS["ldap"])
    assert ended(api, sealed(info, word)) == "FINISHED"
    other = word + "-other"
    assert ended(api, sealed(info, other)) == "FINISHED"
    state = ended(api, sealed(info, word))
    assert state == "FAILED", f"a password in the history: {state}"
    key = load_der_public_key(base64.b64decode(info["publicKey"]))
    oaep = padding.OAEP(padding.MGF1(SHA256()), SHA256(), None)
    state = ended(api, request(info, key.encrypt(word.encode(), oaep)))
    assert state == "FAILED", f"a wrong padding: {state}"


def ended(api, body):
    status, answer = api.post("/v3/set-password", body)
    assert status == 202, f"{status}: {answer}"
    deadline = time.monotonic() + 60
    path = f"/v3/password-change-status/{answer['requestId']}"
    while (state := api.get(path)[1]["state"]) == "IN_PROGRESS":
        assert time.monotonic() < deadline, "still in progress after 60 s"
        time.sleep(0.05)
    return state


def apply(word):
    """A file that names where the password is, applied beside the running server."""
    person = {"alias": "canary", "name": "Canary", "password": {"env": "CANARY"}}
    file = FOLDER / "canary.yaml"
    file.write_text(json.dumps({"identities": [person]}))
    environment = os.environ | {"CANARY": word}
    applied = [os.environ["SITE_BINARY"], "apply", "-f", str(file)]
    done = subprocess.run(applied, env=environment, capture_output=True, text=True)
    with open(os.environ["SITE_LOG"], "a") as log:
        log.write(done.stdout + done.stderr)
    assert done.returncode == 0, done.stderr
    assert signs_in("identitynow", "canary", word), "the canary does not sign in"


def try_to_sign_in(word):
    connection = http.client.HTTPConnection(ADDRESS, timeout=30)
    form = urlencode({"userName": "u1", "password": word})
    connection.request("POST", "/sign-in", form, {"Content-Type": "application/x-www-form-urlencoded"})
    status = connection.getresponse().status
    assert status < 500, f"/sign-in answered {status}"


def nowhere(word):
    found = findings(word)
    assert not found, "; ".join(found)


def findings(word):
    """Where the password is, and in which form."""
    return [
        f"{name} in {place}"
        for place, content in places()
        for name, form in forms(word).items()
        if form in content
    ]


def places():
    for file in sorted((FOLDER / "rekey-data").rglob("*")):
        if file.is_file() and file.name != "bootstrap.json":
            yield file.name, file.read_bytes()
    for log in ["SITE_LOG", "SITE_LDAP_LOG", "SITE_POSTGRESQL_LOG"]:
        yield log, Path(os.environ[log]).read_bytes()
    if store := os.environ.get("SITE_DUMP"):
        yield "pg_dump", dump(urlparse(store))


def dump(store):
    words = ["-h", store.hostname, "-p", str(store.port), "-U", store.username, store.path[1:]]
    environment = os.environ | {"PGPASSWORD": store.password}
    return subprocess.run(["pg_dump", *words], env=environment, check=True, capture_output=True).stdout


def forms(word):
    raw = word.encode()
    shifted = {
        f"base64 {shift}": base64.b64encode(b"p" * shift + raw).rstrip(b"=")[4 if shift else 0:-4]
        for shift in range(3)
    }
    return shifted | {
        "raw": raw,
        "base64, for URLs": base64.urlsafe_b64encode(raw).rstrip(b"=")[:-4],
        "hex": raw.hex().encode(),
        "HEX": raw.hex().upper().encode(),
        "URL-encoded": quote(word, safe="").encode(),
        "form-encoded": quote_plus(word).encode(),
        "UTF-16LE": word.encode("utf-16-le"),
        "JSON": json.dumps(word)[1:-1].encode(),
        "JSON in UTF-8": json.dumps(word, ensure_ascii=False)[1:-1].encode(),
        "quotes doubled": word.replace("'", "''").encode(),
        "escaped like Rust": json.dumps(word, ensure_ascii=False)[1:-1].replace("'", "\\'").encode(),
        "list of bytes": ", ".join(map(str, raw)).encode(),
    }


main()
