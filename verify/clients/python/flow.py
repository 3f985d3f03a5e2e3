"""The official Python client changes passwords, and the real systems are asked for each.

Runs with both lines of it: `sailpoint` 2.x, which has one module per subject, and 1.x, which has
one per API version.
"""

import base64
import os
import time
from importlib import import_module
from importlib.metadata import version

from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.serialization import load_der_public_key
from sailpoint.configuration import Configuration

from rekey_site import SYSTEMS, password, personal_access_token, report, signs_in

NEWEST = version("sailpoint").startswith("2.")
APIS = ["v1"] if NEWEST else ["v3", "v2024", "v2025", "beta"]


def main():
    people = iter(range(1, 51))
    for api in APIS:
        for caller in ["API client", "personal access token"]:
            user = f"u{next(people)}"
            sign_in_to_rekey(caller, user)
            for system in SYSTEMS:
                report(f"{api}, {caller}, {system}", lambda: change_twice(api, system, user))


def sign_in_to_rekey(caller, user):
    """The client reads its credentials from the environment, as its documentation says."""
    os.environ["SAIL_BASE_URL"] = os.environ["SITE_BASE_URL"]
    credentials = (os.environ["SITE_API_ID"], os.environ["SITE_API_SECRET"])
    if caller == "personal access token":
        credentials = personal_access_token(user, "flow")
    os.environ["SAIL_CLIENT_ID"], os.environ["SAIL_CLIENT_SECRET"] = credentials


def change_twice(api, system, user):
    """Twice, so that the old password is known, and known to be refused afterwards."""
    first, second = password(), password()
    change(api, system, user, first)
    assert signs_in(system, user, first), "the new password does not sign in"
    change(api, system, user, second)
    assert signs_in(system, user, second), "the second new password does not sign in"
    assert not signs_in(system, user, first), "the old password still signs in"


def change(api, system, user, word):
    client = Client(api)
    info = client.query(user, SYSTEMS[system])
    assert info.accounts, f"{user} has no account there"
    accepted = client.set(
        identity_id=info.identity_id,
        source_id=info.source_id,
        account_id=info.accounts[0].account_id,
        public_key_id=info.public_key_id,
        encrypted_password=encrypt(word, info.public_key),
    )
    assert accepted.state == "IN_PROGRESS", accepted
    deadline = time.monotonic() + 60
    while (status := client.status(accepted.request_id)).state == "IN_PROGRESS":
        assert time.monotonic() < deadline, "still in progress after 60 s"
        time.sleep(0.05)
    assert status.state == "FINISHED", f"{status.state}: {status.errors}"
    assert status.request_id == accepted.request_id, status
    assert info.source_id in status.source_ids, status


def encrypt(word, public_key):
    key = load_der_public_key(base64.b64decode(public_key))
    return base64.b64encode(key.encrypt(word.encode(), padding.PKCS1v15())).decode()


class Client:
    """The four names the same three operations have had."""

    def __init__(self, api):
        module = "sailpoint.password_management" if NEWEST else f"sailpoint.{api}"
        models = import_module(f"{module}.models")
        client = import_module(f"{module}.api_client").ApiClient(Configuration())
        management = import_module(f"{module}.api.password_management_api").PasswordManagementApi(client)
        end, subject = ("_v1", "") if NEWEST else ("", "identity_" if api == "beta" else "")
        query = import_module(f"{models.__name__}.password_info_query_dto").PasswordInfoQueryDTO
        request = import_module(f"{models.__name__}.password_change_request").PasswordChangeRequest
        do_query = getattr(management, f"query_password_info{end}")
        do_set = getattr(management, f"set_{subject}password{end}")
        self.query = lambda user, source: do_query(query(user_name=user, source_name=source))
        self.set = lambda **members: do_set(request(**members))
        self.status = getattr(management, f"get_{subject}password_change_status{end}")


main()
