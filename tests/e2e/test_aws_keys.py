"""Which credentials win, beside botocore: random sets of sources, each with keys of its own. The seed is
printed; KC_SEED repeats a run."""

import json
import os
import random
import subprocess
import time
from pathlib import Path
from urllib.parse import parse_qs

import botocore.session
import pytest

from lab.cli import REPO
from sim.server import Api, Reply

CLIENT = Path(os.environ.get("KC_BUILD", REPO / "build" / "release")) / "tests" / "aws-client"
ROUNDS = 100


class Clouds(Api):
    """STS, a container's and an instance's metadata."""

    def handle(self, request):
        until = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3600))
        if request.path == "/":
            action = parse_qs(request.body.decode())["Action"][0]
            role = parse_qs(request.body.decode())["RoleArn"][0][-6:]
            by = request.headers.get("authorization", "=TOKEN/").split("=")[1].split("/")[0]
            return Reply(
                200,
                f"<{action}Response><{action}Result><Credentials><AccessKeyId>{role}-BY-{by}</AccessKeyId>"
                f"<SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken>"
                f"<Expiration>{until}</Expiration></Credentials></{action}Result></{action}Response>".encode(),
                {"Content-Type": "text/xml"},
            )
        if request.path == "/latest/api/token":
            return Reply(200, b"token")
        if request.path == "/latest/meta-data/iam/security-credentials/":
            return Reply(200, b"role")
        keys = {"AccessKeyId": "CONTAINER" if request.path == "/container" else "INSTANCE"}
        keys |= {"Code": "Success", "SecretAccessKey": "s", "Token": "t", "Expiration": until}
        return Reply(200, json.dumps(keys).encode())


def static(name):
    return [f"aws_access_key_id = {name}", f"aws_secret_access_key = {name}-secret"]


def profile_lines(rng, name, others):
    """What a profile may say in the configuration file."""
    lines = []
    if rng.random() < 0.3:
        lines += static(f"CONFIG-{name}")
    if rng.random() < 0.3:
        process = {"Version": 1, "AccessKeyId": f"PROCESS-{name}", "SecretAccessKey": "s"}
        lines.append(f"credential_process = echo '{json.dumps(process)}'")
    kind = rng.random()
    if kind < 0.3:
        lines += [f"role_arn = arn:aws:iam::123456789012:role/ROLE-{name}"]
        lines += rng.choice(
            [
                [f"source_profile = {rng.choice(others)}"],
                ["credential_source = Environment"],
                ["credential_source = Ec2InstanceMetadata"],
                ["credential_source = EcsContainer"],
                [],
            ]
        )
    elif kind < 0.4:
        lines += [f"role_arn = arn:aws:iam::123456789012:role/ROLE-{name}", "web_identity_token_file = TOKEN"]
    return lines


def arrange(rng, home, url):
    """Files in home, and the environment."""
    names = ["a", "b", "default"]
    heads = {"a": "[profile a]", "b": '[profile "b"]', "default": "[default]"}
    config, credentials = [], []
    for name in names:
        config += [heads[name], *profile_lines(rng, name, names)]
        if rng.random() < 0.3:
            credentials += [f"[{name}]", *static(f"CREDENTIALS-{name}")]
    token = home / "token"
    token.write_text("jwt.of.pod")
    (home / ".aws").mkdir(exist_ok=True)
    (home / ".aws/config").write_text("\n".join(config).replace("TOKEN", str(token)) + "\n")
    (home / ".aws/credentials").write_text("\n".join(credentials) + "\n")
    env = {"HOME": str(home), "PATH": os.environ["PATH"], "AWS_ENDPOINT_URL_STS": url}
    env |= {"AWS_DEFAULT_REGION": "eu-central-1", "AWS_EC2_METADATA_SERVICE_ENDPOINT": url}
    if rng.random() < 0.2:
        env |= {"AWS_ACCESS_KEY_ID": "ENV", "AWS_SECRET_ACCESS_KEY": "s"}
    if rng.random() < 0.5:
        env["AWS_PROFILE"] = rng.choice(["a", "b", "default", "gone"])
    if rng.random() < 0.2:
        env["AWS_WEB_IDENTITY_TOKEN_FILE"] = str(token)
        env["AWS_ROLE_ARN"] = "arn:aws:iam::123456789012:role/ROLE-w"
    if rng.random() < 0.3:
        env["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = url + "/container"
    if rng.random() < 0.3:
        env["AWS_EC2_METADATA_DISABLED"] = "true"
    return env


def theirs(monkeypatch, env):
    for name in list(os.environ):
        monkeypatch.delenv(name)
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    try:
        keys = botocore.session.Session().get_credentials()
        return keys.get_frozen_credentials().access_key if keys else None
    except Exception:
        return None
    finally:
        monkeypatch.undo()


def ours(env):
    done = subprocess.run(
        [CLIENT], input='{"do": "keys"}\n', capture_output=True, text=True, env=env, timeout=100
    )
    assert done.returncode == 0, done.stderr
    got = json.loads(done.stdout)
    return got["ok"]["id"] if "ok" in got else None, got.get("text")


def test_which_keys_win(tmp_path):
    if not CLIENT.exists():
        pytest.skip(f"{CLIENT} is not built")
    seed = int(os.environ.get("KC_SEED", random.SystemRandom().randrange(2**32)))
    print(f"seed {seed}")
    rng, seen = random.Random(seed), set()
    with Clouds() as api:
        for i in range(ROUNDS):
            env = arrange(rng, tmp_path, api.url)
            with pytest.MonkeyPatch.context() as monkeypatch:
                wanted = theirs(monkeypatch, env)
            got, text = ours(env)
            files = {f.name: f.read_text() for f in (tmp_path / ".aws").iterdir()}
            assert got == wanted, f"round {i}: {text}\n{json.dumps([env, files], indent=1)}"
            seen.add(wanted.split("-")[0] if wanted else None)
    assert len(seen) > 6  # that it compared something
