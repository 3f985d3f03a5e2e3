"""`kill -9` in the middle of work, twenty times: nothing accepted is lost.

Every account has one thread that changes its password again and again, so that the order in which
its changes were accepted is known. In the end every request that was answered 202 has ended, and
the last accepted password of each account signs in at the real system. A request whose answer the
kill swallowed may or may not have been accepted: if it was the account's last one, its password
may be the one in force instead.
"""

import collections
import http.client
import os
import random
import signal
import subprocess
import threading
import time

from rekey_http import Api, info_of, sealed
from rekey_site import SYSTEMS, password, report, signs_in

KILLS = 20
PER_SYSTEM = 4


def main():
    server = start()
    accounts = [
        Account(system, f"u{number}")
        for system in SYSTEMS
        for number in range(1, PER_SYSTEM + 1)
    ]
    stop = threading.Event()
    threads = [threading.Thread(target=account.work, args=[stop], daemon=True) for account in accounts]
    for thread in threads:
        thread.start()
    caught = 0
    for number in range(KILLS):
        time.sleep(random.uniform(0.4, 1.6))
        kill(server)
        if number == KILLS - 1:
            stop.set()
            for thread in threads:
                thread.join()
        server = start()
        caught += sum(account.is_waiting() for account in accounts)
    report(f"{KILLS} kills hit accounts at work: {caught}", lambda: must(caught, "none was at work"))
    ended = collections.Counter()
    report("every accepted change has ended", lambda: ended.update(wait_for_all(accounts)))
    print("accepted:", sum(len(account.accepted) for account in accounts), dict(ended), flush=True)
    for account in accounts:
        name = f"the last accepted password of {account.user} on {account.system} is in force"
        report(name, account.check)
    kill(server)


class Account:
    def __init__(self, system, user):
        self.system, self.user = system, user
        self.api, self.watch = Api(), Api()  # one for the thread, one for whoever asks about it
        self.info = info_of(self.api, user, SYSTEMS[system])
        self.accepted = []  # (request id, password), in order
        self.unanswered = []  # passwords sent since the last 202, with no answer
        self.refused = collections.Counter()

    def work(self, stop):
        while not stop.is_set():
            word = password()
            try:
                status, answer = self.api.post("/v3/set-password", sealed(self.info, word))
            except ConnectionRefusedError:  # the server is down: this one never left
                time.sleep(0.05)
                continue
            except (OSError, http.client.HTTPException, ValueError):
                self.unanswered.append(word)
                time.sleep(0.05)
                continue
            if status == 202:
                self.accepted.append((answer["requestId"], word))
                self.unanswered.clear()
            else:
                self.refused[status] += 1
                if status >= 500:
                    self.unanswered.append(word)
            time.sleep(random.uniform(0, 0.2))

    def is_waiting(self):
        """Whether what was accepted last is still to be done."""
        return bool(self.accepted) and self.state(self.accepted[-1][0])["state"] == "IN_PROGRESS"

    def state(self, request):
        status, answer = self.watch.get(f"/v3/password-change-status/{request}")
        must(status == 200, f"the status of {request} answers {status}: {answer}")
        return answer

    def check(self):
        must(self.accepted, f"nothing was accepted; refused: {dict(self.refused)}")
        request, word = self.accepted[-1]
        possible = [word, *self.unanswered]
        must(
            any(signs_in(self.system, self.user, word) for word in possible),
            f"none of {len(possible)} possible passwords signs in; the last: {self.state(request)}",
        )


def wait_for_all(accounts):
    """How the accepted requests ended, counted; fails if one has not within two minutes."""
    deadline = time.monotonic() + 120
    ended = collections.Counter()
    for account in accounts:
        for request, _ in account.accepted:
            while (status := account.state(request))["state"] == "IN_PROGRESS":
                must(time.monotonic() < deadline, f"{request} of {account.system} is in progress")
                time.sleep(0.1)
            ended[outcome(status)] += 1
    return ended


def outcome(status):
    if status["state"] == "FINISHED":
        return "FINISHED"
    said = " ".join(status["errors"])
    return "FAILED: superseded" if "supersede" in said else f"FAILED: {said[:160]}"


def start():
    log = open(os.environ["SITE_LOG"], "ab")
    serve = ["setpriv", "--pdeathsig", "KILL", os.environ["SITE_BINARY"], "serve"]
    server = subprocess.Popen(serve, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    log.close()
    deadline = time.monotonic() + 60
    while not ready():
        must(server.poll() is None, f"rekey ended with {server.returncode}")
        must(time.monotonic() < deadline, "rekey was not ready within 60 s")
        time.sleep(0.02)
    return server


def ready():
    try:
        return Api.ready()
    except (OSError, http.client.HTTPException):
        return False


def kill(server):
    server.send_signal(signal.SIGKILL)
    server.wait()


def must(held, otherwise):
    if not held:
        raise AssertionError(otherwise)


main()
