"""Certificates that our own code had no hand in."""

import subprocess


class Ca:
    """A certificate authority of openssl's."""

    def __init__(self, directory):
        self.dir = directory
        self.run(
            "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "ca.key"
        )
        self.run(
            *[
                "req",
                "-x509",
                "-new",
                "-key",
                "ca.key",
                "-subj",
                "/CN=test-ca",
                "-days",
                "30",
                "-out",
                "ca.crt",
            ]
        )
        self.pem = (directory / "ca.crt").read_text()

    def run(self, *argv, **kw):
        return subprocess.run(
            ["openssl", *argv], cwd=self.dir, check=True, capture_output=True, **kw
        )

    def sign(self, csr, want, days=10):
        (self.dir / "x.csr").write_text(csr)
        sans = [
            ("IP:" if s.replace(".", "").isdigit() else "DNS:") + s
            for s in want["sans"]
        ]
        uses = ",".join(f"{u}Auth" for u in want["uses"])
        (self.dir / "x.ext").write_text(
            f"extendedKeyUsage={uses}\n"
            + (f"subjectAltName={','.join(sans)}\n" if sans else "")
        )
        return self.run(
            *[
                "x509",
                "-req",
                "-in",
                "x.csr",
                "-CA",
                "ca.crt",
                "-CAkey",
                "ca.key",
                "-CAcreateserial",
            ],
            *f"-days {days} -extfile x.ext".split(),
        ).stdout.decode()
