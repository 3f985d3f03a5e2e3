"""Passwords and other secrets that are easy to find go through rekey, and then must be nowhere.

They are looked for in every form in which software likes to write things down: in the data folder with its store and
write-ahead log, in what rekey said at its most talkative, in what the targets wrote into their own logs and statistics,
in every answer, in the metrics, in what the system tells of the process, and, where the store is PostgreSQL, in a dump of it.
`canary_search.py` knows the places and the forms; `canary_memory.py` asks for the process's memory.
"""

import base64
import http.client
import json
import os
import secrets
import subprocess
import time
from pathlib import Path
from urllib.parse import quote, urlencode

import canary_echo
import canary_memory
import canary_metrics
from canary_search import ANSWERS, DATA, FOLDER, findings, forms, nowhere, query
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key
from rekey_http import ADDRESS, Api, info_of, request, sealed
from rekey_site import SYSTEMS, personal_access_token, report, signs_in


class Watched(Api):
    """Keeps every answer but those that are meant to hold a secret."""

    def send(self, method, path, body, headers):
        # The server may have ended the connection with the last refusal: then it goes over a new one.
        self.connection.close()
        status, answer = super().send(method, path, body, headers)
        if status != 200 or not path.startswith("/oauth/token"):
            ANSWERS.append(json.dumps(answer, ensure_ascii=False).encode())
        return status, answer


def main():
    control()
    api = Watched()
    for number, system in enumerate(SYSTEMS, start=1):
        user, word = f"u{number}", canary()
        report(f"the canary went through {system}", lambda: change(api, system, user, word))
        report(f"no canary after a change on {system}", lambda: nowhere(word))
    for name, deed in {
        "refused by the policy": lambda word: refuse_short(api, word),
        "refused by the target": lambda word: refuse(api, word),
        "changed, and the answer was lost": lambda word: lose_answers(api, word),
        "a first password": apply,
        "tried at the sign-in form": try_to_sign_in,
        "sent where no password belongs": lambda word: misplace(api, word),
    }.items():
        word = canary()
        report(f"the canary was {name}", lambda: deed(word))
        report(f"no canary after it was {name}", lambda: nowhere(word))
    canary_echo.check(api, canary, lambda body: ended(api, body))
    kept_secrets(api)
    canary_metrics.check(report, api)
    canary_memory.check(report)


def canary():
    """Unlike anything else, and with every character that some encoding changes."""
    return f"""aA1-{secrets.token_hex(8)}'"\\%+&é<"""


def control():
    """The search must find a canary in each of its forms and kinds of place, or its silence means nothing."""
    word = canary()
    place = DATA / "control"
    for name, form in forms(word).items():
        place.write_bytes(b"x" * 3001 + form + b"\n")
        report(f"control: {name} is found", lambda: must_find(word, "control"))
    for shift in range(3):
        place.write_bytes(base64.b64encode(b"p" * shift + word.encode() + b"after"))
        report(f"control: base64 with {shift} bytes before is found", lambda: must_find(word, "control"))
    place.unlink()
    for log in ["SITE_LOG", "SITE_LDAP_LOG", "SITE_POSTGRESQL_LOG"]:
        report(f"control: it is found in {log}", lambda: plant(log))
    ANSWERS.append(word.encode())
    report("control: it is found in an answer", lambda: must_find(word, "an answer"))
    ANSWERS.clear()
    temporary = Path("/tmp") / f"control-{secrets.token_hex(8)}"
    temporary.write_text(word)
    report("control: it is found in /tmp", lambda: must_find(word, str(temporary)))
    temporary.unlink()
    name = f"aA1{secrets.token_hex(8)}"
    # It keeps the first text of statements that differ in a name only.
    query("select pg_stat_statements_reset()", "set log_statement = 'all'", f"select 1 as {name}")
    report("control: it is found in the target's statistics", lambda: must_find(name, "pg_stat_statements"))
    report("control: it is found in the target's log", lambda: must_find(name, "SITE_POSTGRESQL_LOG"))
    report("control: the process is looked at", lambda: must_find("serve", "the process's cmdline"))
    report("control: the metrics are looked at", lambda: must_find("rekey_", "/metrics"))
    report("control: its environment is looked at", lambda: must_find("SITE_SCRIPTS", "the process's environ"))


def must_find(word, where):
    assert any(found.endswith(f" in {where}") for found in findings(word)), "the search is blind to it"


def plant(log):
    word = canary()
    with open(os.environ[log], "a") as file:
        file.write(f"{word}\n")
    must_find(word, log)


def change(api, system, user, word):
    info = info_of(api, user, SYSTEMS[system])
    assert ended(api, sealed(info, word)) == "FINISHED"
    assert signs_in(system, user, word), "the canary does not sign in"


def refuse_short(api, word):
    """Longer than any policy or target allows, and with the login name in it."""
    for text in [word + "x" * 150, f"u5{word}", word + "\n"]:
        ended(api, sealed(info_of(api, "u5", SYSTEMS["identitynow"]), text))


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


def lose_answers(api, word):
    """The client hangs up before it has its answer; the resend gets it."""
    body = sealed(info_of(api, "u6", SYSTEMS["postgresql"]), word)
    connection = http.client.HTTPConnection(ADDRESS, timeout=30)
    headers = {"Authorization": f"Bearer {api.token}", "Content-Type": "application/json"}
    connection.request("POST", "/v3/set-password", json.dumps(body), headers)
    connection.close()
    assert ended(api, body) == "FINISHED"
    assert signs_in("postgresql", "u6", word), "the canary does not sign in"


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
    for user in ["u1", "nobody"]:
        connection = http.client.HTTPConnection(ADDRESS, timeout=30)
        form = urlencode({"userName": user, "password": word})
        connection.request("POST", "/sign-in", form, {"Content-Type": "application/x-www-form-urlencoded"})
        answer = connection.getresponse()
        ANSWERS.append(answer.read() + str(answer.getheaders()).encode())
        assert answer.status < 500, f"/sign-in answered {answer.status}"


def misplace(api, word):
    """In clear where a ciphertext is asked for, and in every other place of a request a mistake may put it."""
    whole = sealed(info_of(api, "u1", SYSTEMS["identitynow"]), word)
    for body in [
        whole | {"encryptedPassword": word},
        whole | {"encryptedPassword": [word]},
        whole | {"encryptedPassword": {"password": word}},
        whole | {"encryptedPassword": base64.b64encode(word.encode()).decode()},
        whole | {"publicKeyId": word}, whole | {"accountId": word}, whole | {"sourceId": word},
        whole | {"identityId": word}, whole | {"identityId": [word]}, {"encryptedPassword": word}, [word], word,
    ]:
        status, _ = api.post("/v3/set-password", body)
        assert status == 400, f"{status} for a password in the wrong place"
    status, _ = api.ask("POST", "/v3/set-password", f'{{"encryptedPassword": "{word}')
    assert status == 400, f"{status} for half a body"
    for path in ["/v3/set-password", "/oauth/token", "/v3/accounts/", "/v3/sources"]:
        api.ask("POST", f"{path}?password={quote(word)}", "{}")
    secret = {"grant_type": "client_credentials", "client_id": os.environ["SITE_API_ID"], "client_secret": word}
    for path, form in [("/oauth/token", urlencode(secret)), (f"/oauth/token?{urlencode(secret)}", "")]:
        status, _ = api.send("POST", path, form, {"Content-Type": "application/x-www-form-urlencoded"})
        assert status == 401, f"{status} for a wrong secret"
    for token in [word.encode().decode("latin-1"), base64.b64encode(word.encode()).decode()]:
        api.send("GET", "/v3/accounts", None, {"Authorization": f"Bearer {token}"})
        api.send("GET", "/v3/accounts", None, {"Authorization": f"Basic {token}"})


def kept_secrets(api):
    """What rekey lives with: they are where they belong, and nowhere else."""
    bootstrap = json.loads((DATA / "bootstrap.json").read_text())
    own, own_secret = personal_access_token("u7", "canary")
    token = Watched(own, own_secret)
    assert token.get("/v3/public-identities?limit=1")[0] == 200
    for name, secret in {
        "the API client's secret": os.environ["SITE_API_SECRET"],
        "the administrator's token's secret": bootstrap["clientSecret"],
        "the administrator's first password": bootstrap["adminPassword"],
        "a personal access token's secret": own_secret,
        "an access token": token.token,
        "an API client's access token": api.token,
        "the directory's bind password": (FOLDER / "ldap.secret").read_text(),
        "the database's password": (FOLDER / "postgresql.secret").read_text(),
    }.items():
        report(f"{name} is nowhere", lambda: nowhere(secret.strip()))
    key = (DATA / "master.key").read_text().strip()
    for name, secret in {"in digits": key, "in bytes": bytes.fromhex(key)}.items():
        report(f"the master key, {name}, is only in its file", lambda: empty(findings(secret, besides=["master.key"])))
    report("control: the master key is found in its file", lambda: must_find(key, "master.key"))


def empty(found):
    assert not found, "; ".join(found)


main()
