"""Nobody's name, address or id is in a label: whoever may watch the server need not know who its people are.

A source's id may be, and is.
"""

import re

from canary_search import metrics

LABEL = re.compile(r'[{,]([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"')


def check(report, api):
    named = {"nobody", "canary"}  # tried at the sign-in form; had a first password
    people, accounts = [rows(api, path) for path in ["/v3/public-identities", "/v3/accounts"]]
    named |= {row[name] for row in people for name in ("id", "alias", "name", "email") if row[name]}
    named |= {row[name] for row in accounts for name in ("id", "name", "nativeIdentity")}
    named = {word.lower() for word in named}
    text = metrics().decode()
    report("nobody's name or id is in a label of /metrics", lambda: nobody_in(text, named))
    for name, planted in {
        "a login name": 'rekey_x{user="u1"} 1',
        "a login name among others": 'rekey_x{a="b",c="of u1: 3"} 1',
        "an address": 'rekey_x{user="u1@rekey.test"} 1',
        "a person's id": f'rekey_x{{of="{people[0]["id"]}"}} 1',
        "the directory's name for an account": f'rekey_x{{of="{native(accounts)}"}} 1',
    }.items():
        report(f"control: {name} in a label is found", lambda: must_fail(f"{text}\n{planted}\n", named))


def rows(api, path):
    status, found = api.get(f"{path}?limit=250")
    assert status == 200 and found, f"{path} answered {status}: {found}"
    return found


def native(accounts):
    return next(row["nativeIdentity"] for row in accounts if "=" in row["nativeIdentity"])


def nobody_in(text, named):
    labels = LABEL.findall(text)
    assert len(labels) > 10, f"there are {len(labels)} labels: this says nothing"
    for label, value in labels:
        words = {value.lower(), *re.split(r"[^\w.@-]+", value.lower())}
        assert not words & named, f"{label} names {words & named}"


def must_fail(text, named):
    try:
        nobody_in(text, named)
    except AssertionError:
        return
    raise AssertionError("it was not found")
