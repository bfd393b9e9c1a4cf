"""What a user types, and what they are told when it is wrong. No cluster is made."""

import json
import os
import pty
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml as pyyaml
from lab import yaml
from lab.snapshot import tree_of

TOP = Path(__file__).resolve().parents[2]
KUBECDN = os.environ.get("KUBECDN", str(TOP / "build/release/bin/kubecdn"))


@pytest.fixture
def run(tmp_path):
    def call(*args, **kw):
        env = {k: v for k, v in os.environ.items() if not k.startswith("KUBECDN")}
        env |= {"XDG_STATE_HOME": str(tmp_path / "state"), "TERM": "xterm"}
        env |= kw.pop("env", {})
        kw = {"capture_output": True, "text": True, "timeout": 60} | kw
        return subprocess.run([KUBECDN, *args], env=env, **kw)

    return call


def verbs():
    out = subprocess.run([KUBECDN, "--help"], capture_output=True, text=True, check=True).stdout
    return re.findall(r"^  ([a-z]+(?: [a-z]+)*) {2,}[A-Z]", out, re.M)


def test_help_of_every_verb(run):
    found = verbs()
    assert {"cluster create", "bundle build", "explain", "version", "completion"} <= set(found)
    for verb in found:
        r = run(*verb.split(), "--help")
        assert (r.returncode, r.stderr) == (0, ""), verb
        assert f"Usage:\n  kubecdn {verb}" in r.stdout
        assert max(map(len, r.stdout.splitlines())) < 120, verb


def test_commands_of_the_docs_exist(run):
    known = verbs()
    for doc in [TOP / "README.md", *TOP.glob("docs/**/*.md")]:
        for line in re.findall(r"^    kubecdn (.+)$", doc.read_text(), re.M):
            verb = next((v for v in known if line.startswith(v)), None)
            assert verb, f"{doc.name}: kubecdn {line}"
            for flag in re.findall(r"(?<=\s)--[a-z-]+", line.split("#")[0]):
                assert flag in run(*verb.split(), "--help").stdout, f"{doc.name}: {line}"


@pytest.mark.parametrize(
    ("args", "why"),
    [
        (["hlep"], 'did you mean "kubecdn help"?'),
        (["clutser", "create"], 'did you mean "kubecdn cluster"?'),
        (["cluster", "crate"], 'did you mean "kubecdn cluster create"?'),
        (["cluster", "create", "--wrokers", "1"], "did you mean --workers?"),
        (["cluster", "create"], "which cluster?"),
        (["cluster", "create", "--cloud", "locl"], 'did you mean "local"?'),
        (["cluster", "create", "--cloud", "local", "--workers", "-1"], "--workers"),
        (["cluster", "create", "--cloud", "local", "--workers=x"], "is not a number"),
        (["cluster", "create", "--cloud", "local", "--wait", "5"], "is not a duration"),
        (["cluster", "create", "--cloud", "local", "--wait", "0s"], "is too short; at least 1s"),
        (["cluster", "create", "--cloud", "local", "--confirm", "abc"], "is not the hash"),
        (["cluster", "create", "--region", "x"], "--region needs --cloud"),
        (["cluster", "create", "-f", "x.yaml", "--cloud", "local"], "-f cannot go with"),
        (["cluster", "create", "Not_A_Name", "--cloud", "local"], "is no name for a cluster"),
        (["cluster", "create", "-f"], "--file needs a value"),
        (["cluster", "create", "-o", "xml"], "is not one of text, json or yaml"),
        (["cluster", "delete"], "needs an argument"),
        (["cluster", "get", "a", "b"], "one argument too many"),
        (["cluster", "unlock", "a"], "--force FENCE is needed"),
        (["cluster", "kubeconfig", "a", "--ttl", "59s"], "is too short; at least 60s"),
        (["bundle", "build", "--arch", "mips"], "is not one of amd64 or arm64"),
        (["version", "--debug", "sssh"], "no component"),
        (["version", "--debug", "plan"], "there are http, ssh, proc and all"),
        (["explain", "--json-schema", "Clutser"], "no kind"),
        (["--yes", "cluster", "create"], "before its flags"),
    ],
)
def test_wrong_usage(run, tmp_path, args, why):
    r = run(*args)
    assert r.returncode == 64
    assert r.stdout == ""
    assert r.stderr.startswith("kubecdn: ") and r.stderr.count("\n") == 1
    assert why in r.stderr
    assert not (tmp_path / "state").exists()


def test_wrong_environment(run):
    r = run("version", env={"KUBECDN_PROGRESS": "fancy"})
    assert r.returncode == 64
    assert "KUBECDN_PROGRESS" in r.stderr


def test_missing_things(run, tmp_path):
    r = run("cluster", "get", "nowhere")
    assert (r.returncode, r.stdout) == (1, "")
    assert "nowhere" in r.stderr and r.stderr.count("\n") == 1
    r = run("cluster", "create", "-f", str(tmp_path / "absent.yaml"))
    assert (r.returncode, r.stdout) == (1, "")
    assert "absent.yaml" in r.stderr
    r = run("bundle", "verify", str(tmp_path))
    assert (r.returncode, r.stdout) == (1, "")
    assert str(tmp_path) in r.stderr


def test_empty_state(run, tmp_path):
    r = run("cluster", "list")
    assert r.returncode == 0
    assert "No clusters" in r.stdout
    assert json.loads(run("cluster", "list", "-o", "json").stdout) == []


def test_version(run):
    v = json.loads(run("version", "-o", "json").stdout)
    assert v["kubernetes"]["supported"] and v["protocol"] == 2
    text = run("version").stdout
    assert v["version"] in text
    assert run("--version").stdout == text
    assert json.loads(run("--version", "-o", "json").stdout) == v
    assert run("--version", "--wrong").returncode == 64


ODD = ["yes", "on", "012", "1e3", "null", "2026-11-28", "0x1f", "true", "1_000", "", "1.0", "no"]


@pytest.mark.parametrize(
    "args", [["version"], ["cluster", "list"], ["cluster", "get", "fra1"], ["bundle", "list"]], ids=" ".join
)
def test_yaml_for_others_to_read(run, tmp_path, args):
    """By a parser that is not ours, and of YAML 1.1, to which yes, 012 and 2026-11-28 are no strings."""
    state = shutil.copytree(TOP / "tests/fixtures/state/1/whole", tmp_path / "fixture")
    spec = state / "clusters/fra1/spec.yaml"
    labels = "".join(f'\n    a{i}: "{v}"' for i, v in enumerate(ODD))
    spec.write_text(spec.read_text().replace("  labels: {}", f"  labels:{labels}", 1))
    env = {"KUBECDN_STATE": str(state)}
    r = run(*args, "-o", "yaml", env=env)
    assert (r.returncode, r.stderr) == (0, "")
    assert pyyaml.safe_load(r.stdout) == json.loads(run(*args, "-o", "json", env=env).stdout)


def test_explain(run):
    assert "podCIDRs" in run("explain", "cluster.spec.networking").stdout
    schema = json.loads(run("explain", "--json-schema", "Cluster").stdout)
    assert "spec" in schema["properties"]
    r = run("explain", "cluster.spec.netwroking")
    assert r.returncode == 1
    assert "networking" in r.stderr
    r = run("explain", "clutser.spec")
    assert (r.returncode, r.stdout, r.stderr.count("\n")) == (1, "", 1)
    assert 'did you mean "Cluster"?' in r.stderr


def test_output_that_cannot_be_written(run):
    with open("/dev/full", "w") as full:
        r = run("version", capture_output=False, stdout=full, stderr=subprocess.PIPE)
    assert r.returncode == 1
    assert "No space left" in r.stderr


def test_help_lists_the_clouds(run):
    text = run("cluster", "create", "--help").stdout
    for cloud in ("local", "onprem"):
        assert re.search(rf"^  {cloud} +\w", text.split("\nClouds:\n")[1], re.M), text


@pytest.mark.parametrize("name", ["my clusters.yaml", "a: b.yaml", "plain.yaml"])
def test_positions_stand_for_themselves(run, tmp_path, name):
    """file:line:column first, also with a space in the path; a ": " in it is what this costs."""
    file = tmp_path / name
    file.write_text((TOP / "examples/cluster.yaml").read_text() + "  podCIDR: x\n")
    r = run("cluster", "create", "-f", str(file))
    assert (r.returncode, r.stdout, r.stderr.count("\n")) == (1, "", 1), r.stderr
    program = "kubecdn: " if ": " in name else ""
    assert re.match(rf"{program}{re.escape(str(file))}:\d+:\d+: ", r.stderr), r.stderr


# --- previews of a local cluster: nothing is made


@pytest.fixture
def preview(run, tmp_path):
    bundle = os.environ.get("KC_BUNDLE")
    if not bundle:
        pytest.skip("no bundle: set KC_BUNDLE")

    def call(*args, **kw):
        r = run("cluster", "create", "--cloud", "local", "--bundle", bundle, *args, **kw)
        left = [p for p in tree_of(tmp_path / "state") if "/local/" in p]
        assert [Path(p).name for p in left] in ([], ["lock"])  # --confirm takes it; it stays, free
        assert not list(Path("/var/lib/kubecdn-local").glob("local-*"))
        return r

    if list(Path("/var/lib/kubecdn-local").glob("local-*")):
        pytest.skip("there is a cluster named local on this machine")
    return call


def test_a_stale_confirm_is_refused(preview):
    r = preview("--confirm", "0" * 64)
    assert (r.returncode, r.stdout) == (1, ""), r
    assert "not the one that was confirmed" in r.stderr.splitlines()[-1]
    good = json.loads(preview("-o", "json").stdout)["hash"]
    r = preview("--confirm", good, "--workers", "3", "--progress", "off")
    assert r.returncode == 1 and r.stderr.count("\n") == 1, r
    assert good not in r.stderr


def test_dry_run_wins_over_yes(preview):
    r = preview("--dry-run", "--yes", "--progress", "off")
    assert (r.returncode, r.stderr) == (0, "")
    assert "Nothing was changed." in r.stdout


def test_progress_for_machines(preview):
    r = preview("--progress", "json", "-o", "json")
    assert r.returncode == 0
    lines = [json.loads(x) for x in r.stderr.splitlines()]
    assert "plan" in [x.get("phase") for x in lines]
    assert all("time" in x for x in lines)
    done = json.loads(r.stdout)
    assert (done["result"]["cluster"], done["applied"]) == ("local", False)


def test_progress_in_lines(preview):
    r = preview("--progress", "plain")
    assert r.returncode == 0
    assert "plan" in r.stderr.splitlines()
    assert "\x1b" not in r.stderr + r.stdout


def test_yaml_says_what_json_says(preview):
    """Line by line: quotes and the depth of lists are the writer's choice, and how it breaks text."""

    def lines(text):
        text = re.sub(r'"(.*?)\\n"$', lambda m: "|\n" + m[1].replace("\\n", "\n"), text, flags=re.M)
        plain = (x.strip().replace('"', "") for x in text.splitlines())
        return [x for x in plain if not re.match(r"(plan|apply): \d+$", x)]  # times

    made = yaml.dumps(json.loads(preview("-o", "json").stdout))
    assert lines(preview("-o", "yaml").stdout) == lines(made)


def test_the_name_of_a_manifest_on_standard_input(run):
    bundle = os.environ.get("KC_BUNDLE")
    if not bundle:
        pytest.skip("no bundle: set KC_BUNDLE")
    text = """{apiVersion: kubecdn.io/v1alpha1, kind: Cluster, metadata: {name: piped},
        spec: {cloud: local, region: lab, instanceGroups: [
        {name: control-plane, role: control-plane, minSize: 1, maxSize: 1}]}}"""
    r = run("cluster", "create", "-f", "-", "--bundle", bundle, "-o", "json", input=text)
    assert r.returncode == 0, r.stderr
    assert json.loads(r.stdout)["result"]["cluster"] == "piped"


def test_where_the_state_is(run, tmp_path):
    """--state, then KUBECDN_STATE, then XDG_STATE_HOME, then HOME."""
    home, places = tmp_path / "home", {}
    for name in ("flag", "variable", "xdg/kubecdn", "home/.local/state/kubecdn"):
        places[name] = tmp_path / name
        places[name].mkdir(parents=True)
    env = {
        "HOME": str(home),
        "XDG_STATE_HOME": str(tmp_path / "xdg"),
        "KUBECDN_STATE": str(places["variable"]),
    }
    shown = [run("cluster", "list", "--state", str(places["flag"]), env=env).stdout]
    shown.append(run("cluster", "list", env=env).stdout)
    env["KUBECDN_STATE"] = ""
    shown.append(run("cluster", "list", env=env).stdout)
    env["XDG_STATE_HOME"] = "not/absolute"
    shown.append(run("cluster", "list", env=env).stdout)
    assert [re.search(r" in (\S+)\. ", x)[1] for x in shown] == [str(p) for p in places.values()]


@pytest.mark.parametrize(
    ("args", "env", "colour"),
    [
        ([], {}, True),
        (["--no-color"], {}, False),
        ([], {"NO_COLOR": "1"}, False),
        ([], {"NO_COLOR": ""}, True),
        ([], {"KUBECDN_NO_COLOR": "true"}, False),
    ],
    ids=["terminal", "flag", "NO_COLOR", "empty", "KUBECDN_NO_COLOR"],
)
def test_colour(preview, args, env, colour):
    ours, theirs = pty.openpty()
    r = preview("--progress", "off", *args, env=env, capture_output=False, stdout=theirs)
    os.close(theirs)
    text = b""
    try:
        while chunk := os.read(ours, 65536):
            text += chunk
    except OSError:  # the other side is closed
        pass
    os.close(ours)
    assert r.returncode == 0
    assert (b"\x1b[" in text) == colour, text
