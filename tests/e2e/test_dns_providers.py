"""One zone at several providers: what leads from one to another, and the servers it is delegated to."""

import ipaddress
import math
import time

import pytest
from lab.azure import Zone as Azure
from lab.cli import assert_refused
from lab.clouddns import Zone as CloudDns
from lab.clouddns import record
from lab.dns import ABROAD, NAME, PLACES, copy_of, policy
from lab.nameservers import KEY, Knot
from lab.route53 import KEYS, answers
from lab.route53 import Zone as Route53
from sim.boto import change, client, create, rr
from sim.names import Names


class Clouds:
    def __init__(self, folder):
        self.route53, self.azure, self.clouddns = Route53(), Azure(folder / "azure"), CloudDns()
        self.all = [self.route53, self.azure, self.clouddns]
        self.folder = folder

    def __enter__(self):
        for c in self.all:
            c.__enter__()
        self.boto, self.zone_id = client(self.route53), self.route53.zone_ids["example.com"]
        return self

    def __exit__(self, *exc):
        for c in self.all:
            c.__exit__(*exc)

    def env(self):
        return {**KEYS, **self.azure.env(), **self.clouddns.keys(self.folder)}


@pytest.fixture
def clouds(built, tmp_path):
    with Clouds(tmp_path) as c:
        yield c


@pytest.fixture
def cli(cli, clouds):
    cli.extra_env |= clouds.env()
    return cli


def verified(cli, file):
    """What verify says: {(level, provider): [texts]}, and its exit code."""
    r = cli.run("dns", "verify", "-f", file, "-o", "json")
    found = {}
    for f in r.json["findings"]:
        found.setdefault((f["level"], f["provider"]), []).append(f["text"])
    return r.code, found


def test_what_leads_to_another_provider(clouds, knot, cli, write):
    name = "lint.example.com"
    copies = [clouds.route53.entry(), clouds.azure.entry(), clouds.clouddns.entry()]
    file = write(policy(*copies, name=name))
    cli.ok("dns", "apply", "-f", file, "--yes")
    # Fresh zones name their provider's servers and no others: that is said, and is no failure.
    code, found = verified(cli, file)
    assert code == 0 and set(found) == {("warning", p) for p in ("route53", "azure", "clouddns")}, found
    assert "names no server of azure, clouddns" in found["warning", "route53"][0]
    for verb in ("verify", "plan"):
        assert "warning: route53" in cli.ok("dns", verb, "-f", file).out

    # What others made at other names: warnings. Also by way of another name of the zone.
    create(clouds.boto, clouds.zone_id, rr("blog.example.com.", "CNAME", "b.trafficmanager.net"))
    create(clouds.boto, clouds.zone_id, rr("x.example.com.", "CNAME", "blog.example.com"))
    create(clouds.boto, clouds.zone_id, rr("away.example.com.", "NS", "ns1-03.azure-dns.com."))
    clouds.clouddns.by_hand(record("blog.example.com", "b.trafficmanager.net.", kind="CNAME"))
    place = [clouds.azure.group, "example.com"]
    cname = {"ttl": 60, "cname_record": {"cname": "b.trafficmanager.net"}}
    clouds.azure.sets.create_or_update(*place, "blog", "CNAME", cname)
    code, found = verified(cli, file)
    at_aws = "\n".join(found["warning", "route53"])
    assert code == 0
    assert "blog.example.com. leads to b.trafficmanager.net., which only Azure answers" in at_aws
    assert "x.example.com. leads to b.trafficmanager.net., which only Azure answers" in at_aws
    assert "away.example.com. is delegated to servers of Azure alone" in at_aws
    assert "x.example.com. CNAME is missing at azure" in at_aws
    assert "blog.example.com. leads to" in "\n".join(found["warning", "clouddns"])
    assert len(found["warning", "azure"]) == 1, "who has Azure's servers may lead to Azure's names"

    # All name servers at Route 53 are Azure's: the copy is there, and nobody asks it.
    was = clouds.route53.rrsets("example.com")[0]
    theirs = rr("example.com.", "NS", "ns1-01.azure-dns.com.", "ns2-01.azure-dns.net.")
    change(clouds.boto, clouds.zone_id, ("DELETE", was), ("CREATE", theirs))
    r = cli.run("dns", "verify", "-f", file)
    assert_refused(r, "route53: zone example.com: all name servers at its apex are Azure's", "dns ns --yes")
    assert verified(cli, file)[0] == 1


def test_a_server_with_a_name_in_the_zone(clouds, knot, cli, write):
    """Every copy has to say where it is."""
    file = write(policy(copy_of(knot), clouds.clouddns.entry(), name="glue.example.com"))
    cli.ok("dns", "apply", "-f", file, "--yes")
    assert verified(cli, file)[0] == 0
    was = clouds.clouddns.rrsets("example-com")["example.com.", "NS"]
    now = {**was, "rrdatas": [*was["rrdatas"], "ns.example.com."]}
    path = "/dns/v1/projects/p/managedZones/example-com/changes"
    clouds.clouddns.manual("POST", path, {"deletions": [was], "additions": [now]})
    r = cli.run("dns", "verify", "-f", file)
    assert_refused(r, "NS ns.example.com. at its apex", "add its A or AAAA")
    clouds.clouddns.by_hand(record("ns.example.com", "127.0.0.1"))
    assert verified(cli, file)[0] == 0


def test_a_copy_that_is_not_shown(clouds, cli, write):
    """Who may not read it does not know, and is told so."""
    file = write(policy(clouds.route53.entry(), clouds.azure.entry()))
    cli.ok("dns", "apply", "-f", file, "--yes")
    clouds.azure.deny.add("Microsoft.Network/dnsZones/NS/read")
    code, found = verified(cli, file)
    (text,) = found["warning", "azure"]
    assert code == 0 and "is not known" in text and "NS/read" in text


def test_below_a_delegation(clouds, cli, write):
    """The policy's own name is where this copy answers nothing."""
    name = "www.sub.example.com"
    file = write(policy(clouds.route53.entry(), name=name))
    cli.ok("dns", "apply", "-f", file, "--yes")
    create(clouds.boto, clouds.zone_id, rr("sub.example.com.", "NS", "ns.example.net."))
    code, found = verified(cli, file)
    assert code == 1 and "is in sub.example.com., which is delegated to" in found["error", "route53"][0]
    assert NAME not in str(found)


# --- the zone itself at every server


def soa(server, ttl, minimum):
    """At Knot, by hand."""
    update = f"server 127.0.0.1 {server.port}\nzone example.com\nkey hmac-sha256:{KEY} {server.secret}\n"
    update += f"add example.com. {ttl} SOA ns.example.com. h.example.com. 9 60 60 3600 {minimum}\nsend\n"
    server.run("usr/bin/knsupdate", server.put("update", update))


def test_every_server_has_the_zone(server, cli, write):
    """Real ones: an SOA, and NXDOMAIN with it, by UDP and TCP."""
    file = write(policy(copy_of(server), name="zone.example.com"))
    cli.ok("dns", "apply", "-f", file, "--yes")
    assert verified(cli, file) == (0, {})


def test_names_that_are_not_there(clouds, tmp_path, cli, write):
    """How long that is kept is said where it is long; a wildcard at the apex leaves nobody to ask for."""
    health = {"protocol": "https", "path": "/healthz"}
    spec = {"endpoints": {"e": ["192.0.2.1"]}, "health": health, "failover": {"within": "2m"}}
    file = write(policy(clouds.route53.entry(), **spec))
    cli.ok("dns", "apply", "-f", file, "--yes")
    code, found = verified(cli, file)
    (text,) = found["warning", "route53"]
    assert code == 0 and "keep for 900 s" in text and "longer than failover.within, 2m" in text
    with Knot(tmp_path / "own", "* A 192.0.2.99") as own:
        file = write(policy(copy_of(own), name="neg.example.com"))
        cli.ok("dns", "apply", "-f", file, "--yes")
        assert verified(cli, file) == (0, {})
        soa(own, 86400, 1800)
        ((_, (text,)),) = verified(cli, file)[1].items()
        assert "keep for 1800 s" in text and "900 s or less" in text


BROKEN = {
    "no SOA": (lambda kind, found: kind == "SOA", ("NOERROR", [], []), "answers SOA example.com. by UDP"),
    "nothing beside": (lambda kind, found: found[0] == "NXDOMAIN", ("NXDOMAIN", [], []), "without the SOA"),
    "a lie": (lambda kind, found: found[0] == "NXDOMAIN", ("NOERROR", [], []), "instead of NXDOMAIN"),
}


@pytest.mark.parametrize("how", BROKEN)
def test_a_server_that_is_none(clouds, cli, write, how):
    """A second server that answers for the policy's names, and for the zone not as one has to."""
    when, instead, says = BROKEN[how]

    def answer(name, kind, at):
        found = clouds.clouddns.names.answer(name, kind, at)
        # The wildcard is asked for to be sure, and that there is none is no lie.
        return instead if when(kind, found) and not name.startswith("*") else found

    with Names(answer) as second:
        servers = [{"address": "127.0.0.1", "port": n.port} for n in (clouds.clouddns.names, second)]
        file = write(policy(clouds.clouddns.entry(servers=servers)))
        cli.ok("dns", "apply", "-f", file, "--yes")
        assert_refused(cli.run("dns", "verify", "-f", file), f"port {second.port}", says)


# --- what the provider itself says


def test_what_route53_says_itself(clouds, cli, write):
    """Any allowed address passes at its servers; what Route 53 says tells a near one from a far one."""
    aws = clouds.route53
    subnets = [PLACES["Frankfurt"], PLACES["Tokyo"]]

    def far(name, kind, at):
        """As Route 53 answers, but to everybody what it answers in Tokyo."""
        return aws.names.answer(name, kind, ipaddress.ip_address(PLACES["Tokyo"].split("/")[0]))

    with Names(far) as other:
        servers = [{"address": "127.0.0.1", "port": n.port} for n in (aws.names, other)]
        spec = {"endpoints": {e["id"]: e for e in ABROAD}, "route": "latency", "verify": {"subnets": subnets}}
        file = write(policy(aws.entry(), **spec))
        cli.ok("dns", "apply", "-f", file, "--yes")
        code, found = verified(cli, file)
        assert code == 0 and not found, found
        tested = [r for r in aws.requests if "testdnsanswer" in r.path]
        assert len(tested) == len(subnets)
        both = write(policy(aws.entry(servers=servers), **spec), "both.yaml")
        code, found = verified(cli, both)
        (text,) = found["warning", "route53"]
        assert code == 0 and f"port {other.port} answers" in text and PLACES["Frankfurt"] in text
        assert "192.0.2.3, and the provider itself says 192.0.2.1" in text
    aws.deny.add("TestDNSAnswer")
    code, found = verified(cli, file)
    assert code == 0 and "could not be asked" in found["warning", "route53"][0]
    aws.deny.clear()
    elsewhere = policy(aws.entry(), **{**spec, "endpoints": {e["id"]: e for e in ABROAD[1:]}})
    real = aws.test_dns_answer
    aws.test_dns_answer = lambda params: {**real(params), "RecordData": ["192.0.2.1", "192.0.2.250"]}
    assert_refused(cli.run("dns", "verify", "-f", file), "says that it answers", "192.0.2.250", "some of")
    assert_refused(cli.run("dns", "verify", "-f", write(elsewhere)), "does not hold what the policy says")


# --- the servers that the zone is delegated to


def apex(clouds, where):
    """NS names at the apex, as a client sees them."""
    return sorted(answers(getattr(clouds, where).names.port, "example.com", "NS"))


def ns(cli, file, *args):
    return cli.run("dns", "ns", "-f", file, *args)


def test_servers_of_all_clouds(clouds, cli, write):
    """Shown, then written everywhere, and the same again is nothing; what was there else stays."""
    file = write(policy(clouds.route53.entry(), clouds.azure.entry(), clouds.clouddns.entry()))
    cli.ok("dns", "apply", "-f", file, "--yes")
    before = {c: apex(clouds, c) for c in ("route53", "azure", "clouddns")}
    r = ns(cli, file)
    assert r.code == 2 and "Nothing was changed" in r.out and "warning: azure" in r.out
    r = ns(cli, file, "-o", "json")
    assert {c: apex(clouds, c) for c in before} == before
    wanted, old = r.json["wanted"], r.json["hash"]
    assert len(wanted) == 8 and set(before["azure"]) <= set(wanted)
    assert_refused(ns(cli, file, "--confirm", "0" * 64), "something else now")
    rest = clouds.route53.items("example.com")
    assert "Done" in cli.ok("dns", "ns", "-f", file, "--confirm", old).out
    assert {tuple(apex(clouds, c)) for c in before} == {tuple(wanted)}
    assert len(clouds.route53.items("example.com")) == len(rest)
    sent = [len(c.requests) for c in clouds.all]
    cli.ok("dns", "ns", "-f", file)
    cli.ok("dns", "ns", "-f", file, "--yes")
    for c, n in zip(clouds.all, sent, strict=True):
        assert not [r for r in c.requests[n:] if r.method in ("PUT", "DELETE") or "changes" in r.path]
    code, found = verified(cli, file)
    assert code == 0 and not [t for texts in found.values() for t in texts if "names no server" in t]


def test_servers_of_ones_own(clouds, server, tmp_path, cli, write):
    """A real one beside a cloud, and one beside another: names of clouds are not taken for its own."""
    with Knot(tmp_path / "second", "ns2 A 127.0.0.1\n@ NS ns2") as second:
        file = write(policy(copy_of(server), copy_of(second), clouds.route53.entry(), name="own.example.com"))
        cli.ok("dns", "apply", "-f", file, "--yes")
        r = ns(cli, file, "--yes")
        # Both have to be found by who asks Route 53, and the second by who asks the first.
        assert_refused(r, "has no address of it", "ns2?.example.com", "A or AAAA")
        assert second.addresses("example.com", "NS") == ["ns.example.com.", "ns2.example.com."]
        create(clouds.boto, clouds.zone_id, rr("ns.example.com.", "A", "127.0.0.1"))
        create(clouds.boto, clouds.zone_id, rr("ns2.example.com.", "A", "127.0.0.1"))
        key = f"server 127.0.0.1 {server.port}\nzone example.com\nkey hmac-sha256:{KEY} {server.secret}\n"
        update = server.put("update", f"{key}add ns2.example.com. 60 A 127.0.0.1\nsend\n")
        second.run("usr/bin/knsupdate", update)
        cli.ok("dns", "ns", "-f", file, "--yes")
        wanted = ns(cli, file, "-o", "json").json["wanted"]
        assert len(wanted) == 4 and {"ns.example.com.", "ns2.example.com."} < set(wanted)
        for s in (server, second):
            assert s.addresses("example.com", "NS") == wanted
        assert apex(clouds, "route53") == wanted
        # Without the cloud its names go, and those of the two stay.
        file = write(policy(copy_of(server), copy_of(second), name="own.example.com"))
        cli.ok("dns", "ns", "-f", file, "--yes")
        for s in (server, second):
            assert s.addresses("example.com", "NS") == ["ns.example.com.", "ns2.example.com."]
        assert ns(cli, file).code == 0


def test_servers_of_a_large_zone(clouds, cli, write):
    """The zone's own records come first: nobody has to list all others to see them."""
    for n in range(3):
        names = [f"h{i:03}.example.com." for i in range(300 * n, 300 * n + 300)]
        create(clouds.boto, clouds.zone_id, *[rr(name, "A", "192.0.2.1") for name in names])
    file = write(policy(clouds.route53.entry(), clouds.azure.entry()))
    cli.ok("dns", "apply", "-f", file, "--yes")
    sent = len(clouds.route53.requests)
    cli.ok("dns", "ns", "-f", file, "--yes")
    listed = [r for r in clouds.route53.requests[sent:] if r.method == "GET" and r.path.endswith("rrset")]
    assert len(listed) <= 8 and not [r for r in listed if "name=h" in r.raw_query], listed


def test_more_than_one_takes(clouds, cli, write):
    file = write(policy(clouds.azure.entry(), clouds.clouddns.entry(ns=4), clouds.route53.entry(ns=2)))
    before = apex(clouds, "clouddns")
    assert_refused(ns(cli, file, "--yes"), "10 name servers", "clouddns takes 8", "lower ns")
    assert apex(clouds, "clouddns") == before


def test_changed_lost_or_not_served(clouds, cli, write):
    """Somebody else in between, a lost reply, servers that do not get it: as it was, or as it is to be."""
    file = write(policy(clouds.route53.entry(), clouds.azure.entry(), verify={"within": "1s"}))
    cli.ok("dns", "apply", "-f", file, "--yes")
    before = apex(clouds, "route53")
    clouds.route53.pending = math.inf
    r = ns(cli, file, "--yes")
    assert r.code == 3 and "not served, and was taken back" in r.err and len(apex(clouds, "azure")) == 6
    clouds.route53.pending = 0
    clouds.route53.settle()
    assert apex(clouds, "route53") == before
    clouds.route53.fault("POST /2013-04-01/hostedzone/[^ ]*/rrset", "lose", times=1)
    cli.ok("dns", "ns", "-f", file, "--yes")
    assert apex(clouds, "route53") == apex(clouds, "azure")


def by_hand_at_route53(clouds):
    was = clouds.route53.rrsets("example.com")[0]
    now = {**was, "ResourceRecords": [*was["ResourceRecords"], {"Value": "ns.example.net."}]}
    change(clouds.boto, clouds.zone_id, ("DELETE", was), ("CREATE", now))


def by_hand_at_clouddns(clouds):
    was = clouds.clouddns.rrsets("example-com")["example.com.", "NS"]
    now = {**was, "rrdatas": [*was["rrdatas"], "ns.example.net."]}
    path = "/dns/v1/projects/p/managedZones/example-com/changes"
    clouds.clouddns.manual("POST", path, {"deletions": [was], "additions": [now]})


def by_hand_at_azure(clouds):
    place = clouds.azure.group, "example.com", "@", "NS"
    was = clouds.azure.sets.get(*place)
    names = [r.nsdname for r in was.ns_records] + ["ns.example.net."]
    records = [{"nsdname": n} for n in names]
    clouds.azure.sets.create_or_update(*place, {"ttl": was.ttl, "ns_records": records})


IN_BETWEEN = {
    "route53": (by_hand_at_route53, "POST .*/rrset"),
    "clouddns": (by_hand_at_clouddns, "POST .*/changes"),
    "azure": (by_hand_at_azure, "PUT .*/NS/"),
}


@pytest.mark.parametrize("where", IN_BETWEEN)
def test_somebody_else_sets_servers(clouds, cli, write, where):
    """After they were read, and before ours are there: theirs stay, and that is said."""
    by_hand, call = IN_BETWEEN[where]
    api = getattr(clouds, where)
    file = write(policy(clouds.route53.entry(), clouds.azure.entry(), clouds.clouddns.entry()))
    cli.ok("dns", "apply", "-f", file, "--yes")
    before = apex(clouds, where)

    def first(request):
        by_hand(clouds)
        return api.handle(request)

    api.fault(call, first, times=1)
    r = ns(cli, file, "--yes")
    assert r.code == 3 and f"{where}: somebody else changed the NS records" in r.err, r
    assert apex(clouds, where) == sorted([*before, "ns.example.net."])
    r = ns(cli, file, "--yes")
    assert r.code == 0 and "take NS ns.example.net. out" in r.out
    assert apex(clouds, where) == apex(clouds, "route53")


def test_killed_while_servers_are_set(clouds, knot, cli, write):
    """At any time: each copy has what was or what is to be, and the same command again ends it."""
    aws, az, gcp = clouds.route53, clouds.azure, clouds.clouddns
    file = write(policy(aws.entry(), az.entry(), gcp.entry()))
    less = write(policy(aws.entry(ns=1), az.entry(), gcp.entry(ns=1)), "1.yaml")
    cli.ok("dns", "apply", "-f", file, "--yes")
    cli.ok("dns", "ns", "-f", less, "--yes")
    few = apex(clouds, "azure")
    start = time.monotonic()
    cli.ok("dns", "ns", "-f", file, "--yes")
    length, many = time.monotonic() - start, apex(clouds, "azure")
    assert (len(few), len(many)) == (6, 8)
    for i in range(12):
        p = cli.start("dns", "ns", "-f", (less, file)[i % 2], "--yes")
        time.sleep(length * i / 12)
        p.kill()
        p.wait()
        assert all(apex(clouds, c) in (few, many) for c in ("route53", "azure", "clouddns"))
        cli.ok("dns", "ns", "-f", (less, file)[i % 2], "--yes")
        assert all(apex(clouds, c) == (few, many)[i % 2] for c in ("route53", "azure", "clouddns"))
