"""Everything the contract's description allows, and what it does not, against the real server.

Three callers ask: an API client, an administrator and a person without a level. No answer may be a fault, every answer
must be one the description has, of its media type and in its schema, and wrong data must be refused. `REKEY_MAX_EXAMPLES`
says how many questions each operation gets from each caller in each phase: 10, unless it says another number. They
are the same each time, but for the ids and ciphertexts that are put in: `schemathesis.toml` has the seed, and
`REKEY_SEED` another one.
"""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

from rekey_http import Api, info_of
from rekey_site import personal_access_token, report

DESCRIPTION = Path(__file__).parents[2] / "contract" / "isc-openapi.json"
# `positive_data_acceptance` is left out: whether an id names something is not in a description.
CHECKS = ",".join([
    "not_a_server_error", "status_code_conformance", "content_type_conformance", "response_headers_conformance",
    "response_schema_conformance", "negative_data_rejection", "unsupported_method", "allow_header_conformance",
    "ignored_auth",
])


def main():
    bootstrap = json.loads(Path("rekey-data/bootstrap.json").read_text())
    admin = Api(bootstrap["clientId"], bootstrap["clientSecret"])
    user = "u1"
    callers = {
        "an API client": (Api(), user),
        "an administrator": (admin, "admin"),
        "a person": (Api(*personal_access_token(user, "schemas")), user),
    }
    for name, (api, who) in callers.items():
        known = {"ids": ids(admin), "user": who, "info": info_of(api, who, "IdentityNow")}
        report(f"no fault and no surprise for {name}", lambda: ask(name, api.new_token(), known))
    report("the questions are the same each time, and others for another seed", lambda: same(admin))
    report("control: an answer outside its schema is found", lambda: control(admin))


def ids(admin):
    """Up to five of everything."""
    found = {}
    for kind in ["accounts", "identities", "password-policies", "password-sync-groups", "sources", "task-status"]:
        status, rows = admin.get(f"/v2025/{kind}?limit=5")
        assert status == 200, f"{kind} answered {status}: {rows}"
        found[kind] = [row["id"] for row in rows]
    found["account-aggregations"] = found["task-status"]
    return found


def ask(name, token, known, description=DESCRIPTION, operations=None, seed=os.environ.get("REKEY_SEED")):
    """Asks, and returns a digest of what was asked."""
    folder = Path("schemas") / name.replace(" ", "-")
    folder.mkdir(parents=True, exist_ok=True)
    questions = folder / "questions.txt"
    questions.unlink(missing_ok=True)
    command = [
        Path(sys.executable).with_name("schemathesis"), "--no-color",
        "--config-file", Path(__file__).with_name("schemathesis.toml"), "run", description,
        "--url", os.environ["SITE_BASE_URL"], "--header", f"Authorization: Bearer {token}",
        "--checks", CHECKS, "--max-examples", os.environ.get("REKEY_MAX_EXAMPLES", "10"), "--phases", "examples,coverage,fuzzing",
        "--continue-on-failure", "--warnings", "off", "--suppress-health-check", "all", "--request-timeout", "30",
        "--generation-database", "none", "--report", "junit", "--report-junit-path", folder / "report.xml",
    ]
    if operations:
        command += ["--include-path", operations]
    if seed:
        command += ["--seed", seed]
    environment = os.environ | {
        "SCHEMATHESIS_HOOKS": "hooks", "PYTHONPATH": str(Path(__file__).parent), "KNOWN": json.dumps(known),
        # The order of its sets, and so of what it makes of them, depends on it.
        "QUESTIONS": str(questions), "PYTHONHASHSEED": "0",
    }
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    (folder / "output.txt").write_text(done.stdout + done.stderr)
    print(*[line for line in done.stdout.splitlines() if "generated" in line or "tested" in line.lower()], sep="\n")
    digest = hashlib.sha256(questions.read_bytes()).hexdigest()[:16] if questions.exists() else None
    print(f"digest of the questions of {name}: {digest}")
    assert done.returncode == 0, f"see {folder / 'output.txt'}: {failures(done.stdout)}"
    return digest


def failures(said):
    """What schemathesis says of each failure, shortened."""
    return said[max(said.find("= FAILURES ="), 0):][:3000] or said[-1500:]


def same(admin):
    known = {"ids": ids(admin), "user": "admin", "info": info_of(admin, "admin", "IdentityNow")}
    path = "/public-identities/v1"
    first, second, other = [
        ask(f"seed {seed}, {time}", admin.new_token(), known, operations=path, seed=seed)
        for seed, time in [("1", "once"), ("1", "again"), ("2", "once")]
    ]
    assert first and first == second, "the same seed asked something else"
    assert first != other, "another seed asked the same: nothing is said by what is equal"


def control(admin):
    """With a description that asks for what no answer has, the same run must fail."""
    wrong = json.loads(DESCRIPTION.read_text())
    path = "/public-identities/v1"
    answer = wrong["paths"][path]["get"]["responses"]["200"]["$ref"].rsplit("/", 1)[1]
    schema = wrong["components"]["responses"][answer]["content"]["application/json"]["schema"]
    schema["items"] = {"type": "object", "required": ["no-such-member"]}
    file = Path("wrong.json")
    file.write_text(json.dumps(wrong))
    known = {"ids": ids(admin), "user": "admin", "info": info_of(admin, "admin", "IdentityNow")}
    try:
        ask("control", admin.new_token(), known, file, path)
    except AssertionError as found:
        assert "no-such-member" in str(found), f"it failed of something else: {found}"
        return
    raise AssertionError("it was not found")


main()
