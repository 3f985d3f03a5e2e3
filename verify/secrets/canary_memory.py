"""The memory of the process holds passwords for moments: no core dump may keep it, no other process may read it.

What is asked of `rekey` is asked of a process that does not protect itself first: where that one does not dump core or
cannot be read, the system forbids it to all, and the check says that it was skipped. Root may read everything, so the
reader is the user `nobody` where we are root; against root nothing is proven, and nothing could be.
"""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

# Run as the reader: opens another process's memory, or not.
READ = "import sys; open(f'/proc/{sys.argv[1]}/mem', 'rb').close(); open(f'/proc/{sys.argv[1]}/environ', 'rb').close()"


def check(report):
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o777)
        binary = shutil.copy(os.environ["SITE_BINARY"], folder)
        os.chmod(binary, 0o755)
        server = [binary, "serve"]
        open_process = [sys.executable, "-c", "import time; time.sleep(1000)"]
        for name, test in {"another process of its user cannot read it": unreadable, "killed by a fault, it leaves no core": no_core}.items():
            try:
                test(open_process, Path(folder) / "control", lambda process: Path(f'/proc/{process.pid}/exe').resolve() == Path(sys.executable).resolve())
            except AssertionError:
                report(name, lambda: test(server, Path(folder) / "site", ready))
            else:
                print(f"skip {name}: the system forbids it to every process here", flush=True)


def unreadable(command, folder, ready):
    with Running(command, folder, ready) as process:
        read = subprocess.run([*AS_NOBODY, sys.executable, "-c", READ, str(process.pid)], capture_output=True, text=True)
        assert "PermissionError" in read.stderr, f"its memory was opened: {read.stderr}"
        if gcore := shutil.which("gcore"):
            core = Path(folder) / "core-of"
            subprocess.run([*AS_NOBODY, gcore, "-o", core, str(process.pid)], capture_output=True)
            assert not list(Path(folder).glob("core-of*")), "gcore made a core of it"


def no_core(command, folder, ready):
    with Running(command, folder, ready) as process:
        # The first one ends in Rust's own handler, which looks for an overflow of the stack and steps aside.
        while process.poll() is None:
            process.send_signal(signal.SIGSEGV)
            time.sleep(0.05)
    cores = [file.name for file in Path(folder).iterdir() if file.name.startswith("core")]
    assert not cores, f"it left {cores}"


AS_NOBODY = ["setpriv", "--reuid", "nobody", "--clear-groups", "--"] if os.getuid() == 0 else []


class Running:
    """A process of the unprivileged user that may dump as much core as it likes."""

    def __init__(self, command, folder, ready):
        shutil.rmtree(folder, ignore_errors=True)
        Path(folder).mkdir()
        if AS_NOBODY:
            os.chown(folder, pwd.getpwnam("nobody").pw_uid, -1)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{free.getsockname()[1]}"
        environment = {"PATH": os.environ["PATH"], "REKEY_SERVER__LISTEN": address}
        unlimited = ["bash", "-c", 'ulimit -c unlimited; exec "$@"', "-"]
        self.process = subprocess.Popen(
            [*unlimited, *AS_NOBODY, *command], cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        self.ready = ready

    def __enter__(self):
        deadline = time.monotonic() + 60
        while not self.ready(self.process):
            assert self.process.poll() is None, f"it ended: {self.process.stdout.read()}"
            assert time.monotonic() < deadline, "it was not ready within 60 s"
        return self.process

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


def ready(process):
    """It has said that it serves."""
    return b"serves on" in process.stdout.readline()
