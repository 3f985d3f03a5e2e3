"""The API as plain HTTP, for suites that must see every answer."""

import base64
import http.client
import json
import os
from urllib.parse import urlencode, urlparse

from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.serialization import load_der_public_key

ADDRESS = urlparse(os.environ["SITE_BASE_URL"]).netloc


class Api:
    """One connection with a client's token; a lost connection is opened again next time."""

    def __init__(self, client_id=None, client_secret=None):
        """As this client, or as the site's API client."""
        self.client_id = client_id or os.environ["SITE_API_ID"]
        self.client_secret = client_secret or os.environ["SITE_API_SECRET"]
        self.connection = http.client.HTTPConnection(ADDRESS, timeout=30)
        self.token = None

    def get(self, path):
        """Asked again once: the server may have been restarted since the last time."""
        try:
            return self.ask("GET", path, None)
        except (OSError, http.client.HTTPException):
            return self.ask("GET", path, None)

    def post(self, path, body):
        return self.ask("POST", path, json.dumps(body))

    def ask(self, method, path, body):
        """Status and body; a token that is no longer taken is replaced once."""
        self.token = self.token or self.new_token()
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        status, answer = self.send(method, path, body, headers)
        if status == 401:
            self.token = self.new_token()
            headers["Authorization"] = f"Bearer {self.token}"
            status, answer = self.send(method, path, body, headers)
        return status, answer

    def new_token(self):
        form = urlencode({
            "grant_type": "client_credentials",
            "client_id": self.client_id,
            "client_secret": self.client_secret,
        })
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        status, answer = self.send("POST", "/oauth/token", form, headers)
        if status != 200:
            raise http.client.HTTPException(f"/oauth/token answered {status}: {answer}")
        return answer["access_token"]

    def send(self, method, path, body, headers):
        try:
            self.connection.request(method, path, body, headers)
            answer = self.connection.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException):
            self.connection.close()
            raise
        return answer.status, json.loads(text) if text else None

    @staticmethod
    def ready():
        connection = http.client.HTTPConnection(ADDRESS, timeout=5)
        connection.request("GET", "/readyz")
        status = connection.getresponse().status
        connection.close()
        return status == 200


def info_of(api, user, source):
    """The answer of query-password-info."""
    question = {"userName": user, "sourceName": source}
    status, answer = api.post("/v3/query-password-info", question)
    if status != 200:
        raise RuntimeError(f"query-password-info answered {status}: {answer}")
    return answer


def sealed(info, word):
    """The request of set-password for this password."""
    key = load_der_public_key(base64.b64decode(info["publicKey"]))
    return request(info, key.encrypt(word.encode(), padding.PKCS1v15()))


def request(info, ciphertext):
    return {
        "identityId": info["identityId"],
        "sourceId": info["sourceId"],
        "accountId": info["accounts"][0]["accountId"],
        "publicKeyId": info["publicKeyId"],
        "encryptedPassword": base64.b64encode(ciphertext).decode(),
    }
