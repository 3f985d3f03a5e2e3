"""Makes contract/isc-openapi.json: of the published description, what rekey has.

    python3 reduce.py PUBLISHED.yaml > ../../contract/isc-openapi.json

PUBLISHED.yaml is the dereferenced description of Identity Security Cloud (repository sailpoint-oss/api-specs,
idn/apis, MIT licence). Prose, titles and repeated answers are left out. Where rekey answers otherwise on purpose,
EXCEPTIONS says so, with the reason; nothing else is altered.
"""

import copy
import hashlib
import json
import sys

import yaml

ENDPOINTS = """
GET /account-aggregations/v1/{id}/status
GET /accounts/v1
GET /accounts/v1/{id}
PATCH /accounts/v1/{id}
GET /identities/v1
GET /identities/v1/{id}
GET /password-change-status/v1/{id}
GET /password-dictionary/v1
GET /password-policies/v1
GET /password-policies/v1/{id}
GET /password-sync-groups/v1
GET /password-sync-groups/v1/{id}
GET /public-identities/v1
POST /query-password-info/v1
POST /set-password/v1
GET /sources/v1
POST /sources/v1
GET /sources/v1/{id}
PATCH /sources/v1/{id}
POST /sources/v1/{sourceId}/connector/check-connection
POST /sources/v1/{id}/load-accounts
GET /sources/v1/{sourceId}/schemas
GET /task-status/v1
GET /task-status/v1/{id}
""".strip().splitlines()

# What the description leaves out: answers that any operation may get, and why.
ANSWERS = {
    "404": "an id that names nothing, or nothing the caller may see",
    "405": "a known path with another method",
    "408": "a body that does not arrive",
    "413": "a body that is too large",
    "415": "a body of another media type",
    "422": "an Idempotency-Key that came with another body",
    "503": "the store cannot be reached: the client may send it again",
}
PROSE = {"description", "summary", "title", "externalDocs", "tags", "x-sailpoint-userLevels"}


def main():
    with open(sys.argv[1]) as file:
        published = yaml.load(file, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    answers, paths = {}, {}
    for endpoint in ENDPOINTS:
        method, path = endpoint.split()
        operation = copy.deepcopy(published["paths"][path][method.lower()])
        shared = published["paths"][path].get("parameters", [])
        operation["parameters"] = shared + operation.get("parameters", [])
        for wanted, change, _ in EXCEPTIONS:
            if wanted in ("*", endpoint):
                change(operation)
        for status, answer in operation["responses"].items():
            answer = bare(answer) | {"description": status}
            text = json.dumps(answer, sort_keys=True)
            name = f"Answer{status}{hashlib.sha256(text.encode()).hexdigest()[:6]}"
            answers[name] = answer
            operation["responses"][status] = {"$ref": f"#/components/responses/{name}"}
        paths.setdefault(path, {})[method.lower()] = bare(operation)
    json.dump(
        {
            "openapi": published["openapi"],
            "info": published["info"] | {
                "title": "What rekey has of Identity Security Cloud",
                "description": f"Made by verify/schemathesis/reduce.py of: {published['info']['description']}",
            },
            "paths": paths,
            "components": {"responses": answers, "securitySchemes": published["components"]["securitySchemes"]},
            "x-exceptions": [{"operation": wanted, "reason": reason} for wanted, _, reason in EXCEPTIONS],
        },
        sys.stdout, indent=1, sort_keys=True, default=str,
    )
    print()


def bare(node, names=False):
    """Without prose; a member of `properties` keeps its name, whatever it is."""
    if isinstance(node, list):
        return [bare(item) for item in node]
    if not isinstance(node, dict):
        return node
    return {
        name: bare(value, names=name == "properties" and not names)
        for name, value in node.items()
        if names or name not in PROSE
    }


def documents_every_answer(operation):
    error = operation["responses"]["400"]["content"]
    for status in ANSWERS:
        operation["responses"].setdefault(status, {"content": copy.deepcopy(error)})


def without_experimental_header(operation):
    operation["parameters"] = [one for one in operation["parameters"] if one["name"] != "X-SailPoint-Experimental"]


def without_unread(operation):
    unread = {"add-core-filters", "defaultFilter", "detailLevel", "include-types", "provisionAsCsv"}
    operation["parameters"] = [one for one in operation["parameters"] if one["name"] not in unread]


def with_any_body(operation):
    operation["requestBody"]["content"] = {kind: {"schema": {}} for kind in operation["requestBody"]["content"]}


def with_any_value(operation):
    for content in operation["requestBody"]["content"].values():
        content["schema"]["items"]["properties"]["value"] = {}


def with_operations(operation):
    for content in operation["requestBody"]["content"].values():
        content["schema"]["items"] = {
            "type": "object",
            "properties": {"op": {"type": "string"}, "path": {"type": "string"}, "value": {}},
            "required": ["op", "path"],
        }


def with_null_members(operation):
    for status in ("200", "201"):
        for content in operation["responses"].get(status, {}).get("content", {}).values():
            source = content["schema"].get("items", content["schema"])
            for member in ("description", "managerCorrelationMapping"):
                source["properties"][member]["nullable"] = True
                for part in source["properties"][member].get("allOf", []):
                    part["nullable"] = True


def with_accounts_of_nobody(operation):
    for content in operation["responses"]["200"]["content"].values():
        account = content["schema"].get("items", content["schema"])
        for part in account["allOf"]:
            for member in {"identity", "identityId"} & part.get("properties", {}).keys():
                part["properties"][member]["nullable"] = True


UNCORRELATED = "an account that was correlated to nobody has null for its identity, as Identity Security Cloud answers"
EXCEPTIONS = [
    ("*", documents_every_answer, "documented for every operation: " + "; ".join(f"{s}, {why}" for s, why in ANSWERS.items())),
    ("*", without_experimental_header, "clients leave X-SailPoint-Experimental out, so it is never asked for"),
    ("*", without_unread, "parameters that mean nothing to rekey are not read, whatever is in them"),
    ("POST /sources/v1/{id}/load-accounts", with_any_body, "no member of this body means anything to rekey"),
    ("PATCH /accounts/v1/{id}", with_operations, "the operations of a patch are those of RFC 6902"),
    ("PATCH /sources/v1/{id}", with_any_value, "the value of a patch may be any JSON (RFC 6902)"),
    ("GET /accounts/v1", with_accounts_of_nobody, UNCORRELATED),
    ("GET /accounts/v1/{id}", with_accounts_of_nobody, UNCORRELATED),
] + [
    (f"{method} /sources/v1{rest}", with_null_members, "a patch can replace only what is there, so these are sent as null")
    for method, rest in [("GET", ""), ("POST", ""), ("GET", "/{id}"), ("PATCH", "/{id}")]
]

main()
