# SPDX-License-Identifier: Apache-2.0
"""TLS with real processes: certificates made by stepctl certs, shown by a daemon and by its clients,
with names or tokens to log in by.

    tls.py BIN
"""
import os
import pathlib
import signal
import socket
import ssl
import stat
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from processes import Daemon, environment, write_images  # noqa: E402

BIN = sys.argv.pop(1)
END_S = 60
HOST = "127.0.0.1"


def run(program, *arguments, **env):
    return subprocess.run([f"{BIN}/{program}", *arguments], capture_output=True, text=True,
                          timeout=END_S, env={**environment(), **env})


def openssl(*arguments, **kwargs):
    subprocess.run(["openssl", *arguments], check=True, capture_output=True, timeout=END_S, **kwargs)


class Scene(unittest.TestCase):
    """A folder with two private CAs that do not know each other, `ours` and `theirs`."""

    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.folder = pathlib.Path(folder.name)
        for ca in ("ours", "theirs"):
            made = run("stepctl", "certs", str(cls.folder / ca), "--hosts", f"{HOST},elsewhere",
                       "--clients", "worker,looker,stranger")
            assert made.returncode == 0, made.stderr
        cls.expire("ours", "worker", "late")
        cls.expire("ours", HOST, "old-host")
        (cls.folder / "data").mkdir()
        write_images(cls.folder / "data", train=64)
        cls.access = cls.folder / "access"
        cls.write_access("worker", "late")

    @classmethod
    def write_access(cls, *workers):
        cls.access.write_text("looker observe * never certificate:looker\n" + "".join(
            f"{who} work mine never certificate:{who}\n" for who in workers))
        cls.access.chmod(0o600)

    @classmethod
    def expire(cls, ca, like, name):
        """A certificate for the key of `like` that was good until yesterday."""
        at = cls.folder / ca
        openssl("req", "-new", "-key", at / f"{like}.key", "-subj", f"/CN={name}", "-out",
                at / "request")
        (at / "extensions").write_text(f"subjectAltName=IP:{HOST}\n")
        openssl("x509", "-req", "-in", at / "request", "-CA", at / "ca.pem", "-CAkey",
                at / "ca.key", "-days", "-1", "-extfile", at / "extensions", "-out",
                at / f"{name}.pem")
        (at / f"{name}.key").write_bytes((at / f"{like}.key").read_bytes())

    def of(self, ca, name):
        return str(self.folder / ca / name)

    def daemon(self, *flags, shows=HOST, client_ca="ours", shards="2"):
        ca = ["--tls-client-ca", self.of(client_ca, "ca.pem")] if client_ca else []
        return Daemon(f"{BIN}/stepd", "--shards", shards, "--tls-cert", self.of("ours", f"{shows}.pem"),
                      "--tls-key", self.of("ours", f"{shows}.key"), *ca, *flags)

    def trust(self, name=None, ca="ours", shown_by="ours"):
        shown = ["--tls-cert", self.of(shown_by, f"{name}.pem"),
                 "--tls-key", self.of(shown_by, f"{name}.key")] if name else []
        return ["--tls-ca", self.of(ca, "ca.pem"), *shown]

    def ask(self, daemon, *trust, command=("status",)):
        return run("stepctl", "--server", f"tls:{daemon.address}", *trust, *command)

    def train(self, daemon, *trust, steps="3", job="mine", model="softmax", extra=()):
        return run("stepd-train", "--server", f"tls:{daemon.address}", *trust, "--job", job, "--model",
                   model, "--data", str(self.folder / "data"), "--batch", "16", "--steps", steps,
                   "--quiet", *extra)


class Certificates(Scene):
    """What stepctl certs makes."""

    def test_certificate__of_the_daemon_that_is_over_or_soon__is_told_at_start_and_reload(self):
        ours = self.folder / "ours"
        shown, key = self.folder / "shown.pem", self.folder / "shown.key"

        def put(name, where):
            shown.write_bytes((where / f"{name}.pem").read_bytes())
            key.write_bytes((where / f"{name}.key").read_bytes())
        short = self.folder / "short"
        made = run("stepctl", "certs", str(short), "--hosts", HOST, "--days", "13")
        self.assertEqual(made.returncode, 0, made.stderr)
        put("old-host", ours)
        with Daemon(f"{BIN}/stepd", "--tls-cert", str(shown), "--tls-key", str(key)) as daemon:
            daemon.wait_for("level=error event=certificate_expired ended=.*stepctl certs")
            put(HOST, short)
            daemon.process.send_signal(signal.SIGHUP)
            daemon.wait_for("level=warn event=certificate_expires ends=.* days_left=1[23] ")
            put(HOST, ours)
            daemon.process.send_signal(signal.SIGHUP)
            self.assertTrue(daemon.said.wait_for_count("event=reloaded ", 2, END_S))
            put("old-host", ours)
            daemon.process.send_signal(signal.SIGHUP)
            self.assertTrue(daemon.said.wait_for_count("event=certificate_expired ", 2, END_S))
            said = [line for line in daemon.said.lines if "event=certificate_e" in line]
            self.assertEqual(len(said), 3, said)

    def test_files__are_their_owner_s_alone_and_never_overwritten(self):
        files = list((self.folder / "theirs").iterdir())
        self.assertEqual(len(files), 12)
        for file in files:
            self.assertEqual(stat.S_IMODE(os.stat(file).st_mode), 0o600, file)
        before = {file: file.read_bytes() for file in files}
        again = run("stepctl", "certs", self.of("theirs", ""), "--hosts", "new,elsewhere")
        self.assertEqual(again.returncode, 1)
        self.assertIn("elsewhere.key exists, and nothing was written", again.stderr)
        half = run("stepctl", "certs", str(self.folder / "ours"), "--hosts", "fresh,elsewhere")
        self.assertEqual(half.returncode, 1, half.stdout)
        self.assertFalse((self.folder / "ours" / "fresh.pem").exists())
        twice = run("stepctl", "certs", str(self.folder / "new"), "--hosts", "a", "--clients", "a")
        self.assertIn("'a' is named twice", twice.stderr)
        self.assertFalse((self.folder / "new").exists())
        self.assertEqual(before, {file: file.read_bytes() for file in files})

    def test_folder__with_a_ca__gets_further_certificates_of_it(self):
        made = run("stepctl", "certs", self.of("ours", ""), "--clients", "newcomer")
        self.assertEqual(made.returncode, 0, made.stderr)
        self.assertNotIn("ca.pem", made.stdout)
        openssl("verify", "-purpose", "sslclient", "-x509_strict", "-CAfile",
                self.of("ours", "ca.pem"), self.of("ours", "newcomer.pem"))

    def test_folder__whose_ca_is_none_or_no_longer_good__is_refused(self):
        cases = ((HOST, "is no CA's: it may sign no certificates"), ("late-ca", "has expired"))
        openssl("x509", "-in", self.of("ours", "ca.pem"), "-signkey", self.of("ours", "ca.key"),
                "-days", "-1", "-out", self.of("ours", "late-ca.pem"))
        (self.folder / "ours" / "late-ca.key").write_bytes((self.folder / "ours" / "ca.key").read_bytes())
        for name, said in cases:
            folder = self.folder / f"with-{name}"
            folder.mkdir()
            for suffix in (".pem", ".key"):
                (folder / f"ca{suffix}").write_bytes(
                    (self.folder / "ours" / f"{name}{suffix}").read_bytes())
                (folder / f"ca{suffix}").chmod(0o600)
            made = run("stepctl", "certs", str(folder), "--clients", "newcomer")
            self.assertEqual(made.returncode, 1, name)
            self.assertIn(said, made.stderr)
            self.assertFalse((folder / "newcomer.pem").exists())

    def test_host__is_named_as_it_is_dialled(self):
        for host, option in ((HOST, "-verify_ip"), ("elsewhere", "-verify_hostname")):
            openssl("verify", "-purpose", "sslserver", "-x509_strict", option, host, "-CAfile",
                    self.of("ours", "ca.pem"), self.of("ours", f"{host}.pem"))

    def test_usage__mistaken__is_exit_2(self):
        for arguments in ([], ["a"], ["a", "b", "--hosts", "h"], ["--hosts", "h"],
                          ["a", "--hosts", "h", "--days", "0"], ["a", "--hosts", ","],
                          ["a", "--hosts", "g,h:7070"]):
            self.assertEqual(run("stepctl", "certs", *arguments).returncode, 2, arguments)

    def test_name__that_leaves_the_folder__is_refused(self):
        for name in ("../up", "a/b", "ca", "a b", ".hidden", "-x"):
            made = run("stepctl", "certs", self.of("theirs", ""), "--hosts", name)
            self.assertEqual(made.returncode, 1, name)
            self.assertIn("cannot be a certificate's name", made.stderr)


class Matrix(Scene):
    """Each end with certificates that are good, and those that are not."""

    def test_client__by_its_name_in_the_list__is_let_in(self):
        with self.daemon("--access-file", str(self.access)) as daemon:
            trained = self.train(daemon, *self.trust("worker"))
            self.assertEqual(trained.returncode, 0, trained.stderr)
            shown = self.ask(daemon, *self.trust("looker"))
            self.assertIn("job mine", shown.stdout, shown.stderr)

    def test_clients__that_are_not_good__are_told_apart_in_the_log_alone(self):
        cases = (("late", "ours", "handshake_refused .*its certificate: certificate has expired"),
                 ("worker", "theirs", "handshake_refused .*its certificate: unable to get local issuer"),
                 (None, None, "login_refused .*it has shown no token, and no certificate of a CA"),
                 ("stranger", "ours", "login_refused .*its certificate's name, stranger, is not on"))
        with self.daemon("--access-file", str(self.access)) as daemon:
            for name, by, said in cases:
                asked = self.ask(daemon, *self.trust(name, shown_by=by))
                self.assertEqual((asked.returncode, asked.stdout), (1, ""), name)
                daemon.wait_for(said)
                self.assertNotIn("not on the list", asked.stderr)
            refused = self.train(daemon, *self.trust("looker"))
            self.assertIn("not for this", refused.stderr)
            daemon.wait_for("login_refused .*who=.looker. what=worker .*its role is observe")

    def test_client__without_a_certificate_where_there_is_no_list__is_refused(self):
        with self.daemon() as daemon:
            asked = self.ask(daemon, *self.trust())
            self.assertEqual((asked.returncode, asked.stdout), (1, ""))
            self.assertIn("certificate required", asked.stderr)
            daemon.wait_for("handshake_refused .*peer did not return a certificate")
            self.assertEqual(self.ask(daemon, *self.trust("stranger")).returncode, 0)

    def test_server__that_is_not_to_be_trusted__is_refused_with_the_reason(self):
        cases = ((HOST, "theirs", "to get local issuer certificate"),
                 ("elsewhere", "ours", "IP address mismatch"),
                 ("old-host", "ours", "certificate has expired"))
        for shows, ca, said in cases:
            with self.daemon(shows=shows) as daemon:
                asked = self.ask(daemon, *self.trust("looker", ca=ca))
                self.assertEqual((asked.returncode, asked.stdout), (1, ""), shows)
                self.assertIn("the server's certificate is not to be trusted", asked.stderr)
                self.assertIn(said, asked.stderr)
                if shows == "elsewhere":
                    named = self.ask(daemon, *self.trust("looker"), "--tls-name", "elsewhere")
                    self.assertEqual(named.returncode, 0, named.stderr)

    def test_token__over_tls__needs_no_certificate(self):
        token = self.folder / "token"
        line = run("stepctl", "token", "create", "--role", "observe", "--out", str(token)).stdout
        listed = self.folder / "with-token"
        listed.write_text(line)
        with self.daemon("--access-file", str(listed)) as daemon:
            asked = self.ask(daemon, *self.trust(), "--token-file", str(token))
            self.assertEqual(asked.returncode, 0, asked.stderr)

    def test_name__taken_off_the_list__is_let_in_no_more(self):
        self.addCleanup(self.write_access, "worker", "late")
        with self.daemon("--access-file", str(self.access)) as daemon:
            self.assertEqual(self.ask(daemon, *self.trust("worker")).returncode, 0)
            self.write_access("late")
            daemon.process.send_signal(signal.SIGHUP)
            daemon.wait_for("event=access_read")
            self.assertEqual(self.ask(daemon, *self.trust("worker")).returncode, 1)

    def test_certificate__read_again__is_the_one_that_is_shown(self):
        shown = self.folder / "ours" / "turning"
        for suffix in (".pem", ".key"):
            shown.with_suffix(suffix).write_bytes((self.folder / "ours" / f"elsewhere{suffix}").read_bytes())
        with self.daemon(shows="turning") as daemon:
            self.assertEqual(self.ask(daemon, *self.trust("looker")).returncode, 1)
            for suffix in (".pem", ".key"):
                shown.with_suffix(suffix).write_bytes((self.folder / "ours" / f"{HOST}{suffix}").read_bytes())
            daemon.process.send_signal(signal.SIGHUP)
            daemon.wait_for("event=certificates_read")
            self.assertEqual(self.ask(daemon, *self.trust("looker")).returncode, 0)
            shown.with_suffix(".pem").write_text("nothing")
            daemon.process.send_signal(signal.SIGHUP)
            daemon.wait_for("event=reload_failed .*tls_cert")
            self.assertEqual(self.ask(daemon, *self.trust("looker")).returncode, 0)


class Wire(Scene):
    """What goes over it."""

    def test_training__over_tls__ends_with_the_bits_of_one_in_clear(self):
        def weights(train):
            file = self.folder / "weights"
            trained = train(("--save-weights", str(file)))
            self.assertEqual(trained.returncode, 0, trained.stderr)
            return file.read_bytes()
        model = {"model": "mlp:784-600-10", "steps": "8"}  # slices of 1 MiB, and small ones
        with self.daemon() as daemon:
            encrypted = weights(lambda flags: self.train(daemon, *self.trust("worker"),
                                                         extra=flags, **model))
        with Daemon(f"{BIN}/stepd", "--shards", "2") as daemon:
            clear = weights(lambda flags: run(
                "stepd-train", "--server", daemon.address, "--job", "mine", "--model", model["model"],
                "--data", str(self.folder / "data"), "--batch", "16", "--steps", model["steps"],
                "--quiet", *flags))
        self.assertEqual(encrypted, clear)

    def test_older_tls__and_clear_text__are_refused(self):
        with self.daemon(client_ca=None) as daemon:
            host, port = daemon.address.split(":")
            older = ssl.create_default_context(cafile=self.of("ours", "ca.pem"))
            older.maximum_version = ssl.TLSVersion.TLSv1_2
            with self.assertRaises(ssl.SSLError), socket.create_connection((host, int(port))) as to:
                older.wrap_socket(to, server_hostname=host)
            daemon.wait_for("handshake_refused .*unsupported protocol")
            asked = run("stepctl", "--server", daemon.address, "status")
            self.assertEqual((asked.returncode, asked.stdout), (1, ""))
            self.assertIn("this server speaks TLS: use an address that begins with tls:", asked.stderr)
            daemon.wait_for("connection_refused .*this server speaks TLS")
        with Daemon(f"{BIN}/stepd") as daemon:
            asked = self.ask(daemon, *self.trust())
            self.assertEqual((asked.returncode, asked.stdout), (1, ""))
            self.assertRegex(asked.stderr, "does not speak TLS|speaks no TLS")
            daemon.wait_for("connection_refused .*this is TLS.*leave tls: out of the address")

    def test_session__is_not_resumed(self):
        with self.daemon(client_ca=None) as daemon:
            host, port = daemon.address.split(":")
            trust = ssl.create_default_context(cafile=self.of("ours", "ca.pem"))
            with socket.create_connection((host, int(port))) as to, \
                    trust.wrap_socket(to, server_hostname=host) as tls:
                self.assertEqual(tls.version(), "TLSv1.3")
                tls.settimeout(0.2)
                with self.assertRaises(TimeoutError):
                    tls.recv(1)  # where a ticket would be
                self.assertFalse(tls.session.has_ticket)

    def test_handshake__that_stops_half_way__runs_out_of_time(self):
        with self.daemon("--hello-timeout-ms", "200") as daemon:
            host, port = daemon.address.split(":")
            with socket.create_connection((host, int(port))) as to:
                to.sendall(b"\x16\x03\x01\x02\x00\x01")  # the begin of a record
                to.settimeout(END_S)
                self.assertEqual(to.recv(1), b"")
            daemon.wait_for("handshake_refused .*no hello came within 200 ms")

    def test_handshake__that_does_not_end__is_cut_off_by_its_bytes(self):
        with self.daemon() as daemon:
            host, port = daemon.address.split(":")
            with socket.create_connection((host, int(port))) as to:
                to.settimeout(END_S)
                with self.assertRaises(OSError):
                    while True:
                        to.sendall(b"\x16\x03\x01\x40\x00" + b"\x01\xff\xff\xff" + bytes(16380))
            self.assertTrue(daemon.said.wait_for("event=handshake_refused", END_S))

    def test_daemon__that_others_reach__wants_a_login_too(self):
        def start(*flags):
            return run("stepd", "--listen", "0.0.0.0:0", "--check-config", "--tls-cert",
                       self.of("ours", f"{HOST}.pem"), "--tls-key", self.of("ours", f"{HOST}.key"), *flags)
        self.assertIn("TLS alone keeps nobody out", start().stderr)
        self.assertEqual(start("--tls-client-ca", self.of("ours", "ca.pem")).returncode, 0)
        self.assertEqual(start("--access-file", str(self.access)).returncode, 0)

    def test_files__that_are_wrong__are_exit_78_and_named(self):
        def start(cert, key):
            return run("stepd", "--check-config", "--listen", "127.0.0.1:0", "--tls-cert",
                       self.of("ours", cert), "--tls-key", self.of("ours", key))
        for cert, key, said in (("none.pem", f"{HOST}.key", "tls_cert: .*none.pem.*No such file"),
                                (f"{HOST}.key", f"{HOST}.key", "tls_cert: .*no certificate"),
                                (f"{HOST}.pem", "elsewhere.key", "tls_key: .*key values mismatch")):
            started = start(cert, key)
            self.assertEqual(started.returncode, 78, started.stderr)
            self.assertRegex(started.stderr, said)


unittest.main(verbosity=2)
