"""What the descriptions' readers cannot know: ids that exist here. Half of the questions get one.

A made-up id is almost always one of nothing, and a made-up ciphertext never one of the key: without this no answer but
a refusal would be seen. What was made up to be wrong stays as it is.
"""

import base64
import json
import os
import zlib

import schemathesis
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.serialization import load_der_public_key
from schemathesis.core import NotSet
from schemathesis.core.parameters import ParameterLocation

KNOWN = json.loads(os.environ["KNOWN"])


@schemathesis.hook
def map_case(context, case):
    question = asked(case)
    with open(os.environ["QUESTIONS"], "a") as questions:
        print(question, file=questions)
    if zlib.crc32(question.encode()) % 2:
        return case
    wrong = case.meta.is_negative_at if case.meta else lambda location: False
    ids = KNOWN["ids"].get(case.operation.path.split("/")[1])
    if case.path_parameters and ids and not wrong(ParameterLocation.PATH):
        name = next(iter(case.path_parameters))
        case.path_parameters = {name: ids[len(str(case.path_parameters)) % len(ids)]}
    if case.query and not wrong(ParameterLocation.QUERY):
        # Every list has its own fields, which the description has in prose only.
        case.query = {name: value for name, value in case.query.items() if name not in ("filters", "sorters")}
    make = BODIES.get(case.operation.label)
    if make and not wrong(ParameterLocation.BODY):
        case.body = make()
    return case


def asked(case):
    """The question as it was made up, in words that are the same in every process."""
    body = None if isinstance(case.body, NotSet) else case.body
    headers = {name: value for name, value in case.headers.items() if name.lower() != "authorization"}
    return repr((case.method, case.path, case.path_parameters, case.query, headers, body))


def change():
    info = KNOWN["info"]
    key = load_der_public_key(base64.b64decode(info["publicKey"]))
    sealed = key.encrypt(b"Correct-horse-1", padding.PKCS1v15())
    return {
        "identityId": info["identityId"], "sourceId": info["sourceId"],
        "accountId": info["accounts"][0]["accountId"], "publicKeyId": info["publicKeyId"],
        "encryptedPassword": base64.b64encode(sealed).decode(),
    }


def source():
    return {
        "name": f"Made {os.urandom(8).hex()}", "connector": "rekey",
        "owner": {"type": "IDENTITY", "id": KNOWN["info"]["identityId"], "name": "x"},
        "connectorAttributes": {},
    }


BODIES = {
    "POST /query-password-info/v1": lambda: {"userName": KNOWN["user"], "sourceName": "IdentityNow"},
    "POST /set-password/v1": change,
    "POST /sources/v1": source,
    "PATCH /accounts/v1/{id}": lambda: [{"op": "replace", "path": "/manuallyCorrelated", "value": False}],
    "PATCH /sources/v1/{id}": lambda: [{"op": "add", "path": "/description", "value": os.urandom(4).hex()}],
}
