"""What the Python suites share: the site they talk to, and the lines they report with."""

import json
import os
import secrets
import string
import subprocess
from pathlib import Path

HERE = Path(__file__).parent
SYSTEMS = {
    "ldap": os.environ["SITE_LDAP_SOURCE"],
    "postgresql": os.environ["SITE_POSTGRESQL_SOURCE"],
    "identitynow": "IdentityNow",
}
LETTERS = string.ascii_letters + string.digits


def password():
    """A new one, of all classes, so that no sensible policy minds."""
    return "aA1-" + "".join(secrets.choice(LETTERS) for _ in range(20))


def signs_in(system, user, word):
    """Whether the real system lets the user in."""
    asked = subprocess.run(
        ["bash", HERE / "sign-in.sh", system, user], input=word, text=True, capture_output=True
    )
    if asked.returncode > 1:
        raise RuntimeError(f"{system} cannot be asked: {asked.stderr.strip()}")
    return asked.returncode == 0


def personal_access_token(alias, name):
    """The id and the secret of a new one."""
    said = subprocess.run(
        [os.environ["SITE_BINARY"], "token", "create", "--name", name, "--identity", alias, "--json"],
        check=True, text=True, stdout=subprocess.PIPE,
    )
    token = json.loads(said.stdout)
    return token["clientId"], token["clientSecret"]


def report(name, check):
    """Runs one check and says its line; a check that returns has passed."""
    try:
        check()
    except Exception as reason:  # whatever it is, it is this check's failure and no other's
        said = " ".join(f"{type(reason).__name__}: {reason}".split())
        print(f"not ok {name}: {said[:600]}", flush=True)
        return False
    print(f"ok {name}", flush=True)
    return True
