# SPDX-License-Identifier: Apache-2.0
"""testssl.sh against the daemon's port of TLS, with certificates of `stepctl certs`: it finds nothing
of medium severity or above.

    testssl.py BIN

It is skipped, and says so, where there is no testssl.sh (Debian: testssl.sh).
"""
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from processes import Daemon, environment  # noqa: E402

SKIPPED = 77
HOST = "127.0.0.1"
TIMEOUT_S = 500
CHECKS = ("--protocols", "--std", "--fs", "--server-preference", "--server-defaults", "--vulnerable")
LEAST = 60  # findings of any kind, or it has not looked
GRAVE = ("MEDIUM", "HIGH", "CRITICAL", "FATAL", "WARN")
# A CA that is one's own has nobody to ask whether a certificate was taken back: a name is taken off
# the list of those who may come in instead, and the server's key is changed with SIGHUP.
# engine_problem: said of the openssl that examines, where it has no engine for GOST's ciphers.
EXCUSED = {"cert_revocation", "engine_problem"}


def examine(program, folder, daemon):
    found = f"{folder}/found.json"
    subprocess.run([program, "--quiet", "--color", "0", "--warnings", "batch", "--add-ca",
                    f"{folder}/pki/ca.pem", *CHECKS, "--jsonfile", found, daemon.address],
                   stdout=subprocess.DEVNULL, timeout=TIMEOUT_S, check=False, env=environment())
    return json.loads(pathlib.Path(found).read_text())


def main(bin_folder):
    program = shutil.which("testssl") or shutil.which("testssl.sh")
    if program is None:
        print("skipped: there is no testssl.sh; apt-get install testssl.sh")
        return SKIPPED
    with tempfile.TemporaryDirectory() as folder:
        pki = f"{folder}/pki"
        subprocess.run([f"{bin_folder}/stepctl", "certs", pki, "--hosts", HOST], check=True,
                       stdout=subprocess.DEVNULL, env=environment())
        with Daemon(f"{bin_folder}/stepd", "--tls-cert", f"{pki}/{HOST}.pem", "--tls-key",
                    f"{pki}/{HOST}.key") as daemon:
            found = examine(program, folder, daemon)
    grave = [finding for finding in found
             if finding["severity"] in GRAVE and finding["id"] not in EXCUSED]
    for finding in grave:
        print(f"{finding['severity']} {finding['id']}: {finding['finding']}")
    print(f"{len(found)} findings, {len(grave)} of medium severity or above")
    return 0 if not grave and len(found) >= LEAST else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
