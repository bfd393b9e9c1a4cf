"""nginx, as Debian packs it, with a folder that takes files by PUT."""

import os
import subprocess
import urllib.request
from urllib.error import HTTPError

from .hosts import wait_for
from .nameservers import free_port
from .packages import private_root
from .registry import PASSWORD_LINE


class Nginx:
    """private: with a password (lab.registry's). slow: bytes a second that it reads are sent with."""

    def __init__(self, folder, private=False):
        self.folder, self.private, self.port = folder, private, free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.files = folder / "www"
        self.files.mkdir()
        (folder / "tmp").mkdir()

    def __enter__(self):
        (self.folder / "htpasswd").write_text(PASSWORD_LINE)
        auth = f"auth_basic x; auth_basic_user_file {self.folder}/htpasswd;" if self.private else ""
        temporary = "".join(
            f"{kind}_temp_path {self.folder}/tmp/{kind};\n"
            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        conf = self.folder / "nginx.conf"
        conf.write_text(f"""
daemon off;
user {"root" if os.geteuid() == 0 else "nobody"};
worker_processes 1;
pid {self.folder}/pid;
error_log {self.folder}/error.log;
events {{}}
http {{
  access_log {self.folder}/access.log;
  {temporary}
  server {{
    listen 127.0.0.1:{self.port};
    root {self.files};
    client_max_body_size 0;
    {auth}
    dav_methods PUT;
    create_full_put_path on;
  }}
}}
""")
        program = private_root("nginx", "nginx-light") / "usr/sbin/nginx"
        self.process = subprocess.Popen(
            [program, "-p", self.folder, "-c", conf, "-e", self.folder / "error.log"]
        )

        def up():
            try:
                urllib.request.urlopen(self.url)
            except HTTPError:
                return True
            except OSError:
                return False
            return True

        wait_for("nginx", up, 20)
        return self

    def __exit__(self, *exc):
        self.process.terminate()
        self.process.wait(20)

    def requests(self, method):
        """Paths asked for with this method, in order."""
        lines = (self.folder / "access.log").read_text().splitlines()
        asked = [line.split('"')[1].split() for line in lines]
        return [a[1] for a in asked if a[0] == method]

    def forget(self):
        (self.folder / "access.log").write_text("")
