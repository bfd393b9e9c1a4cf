"""Routing policies of the simulated Google Cloud DNS, the health checks that they use, and what clients in
different places get: Google's client writes, dnspython asks."""

import copy
import time
import uuid

import dns.query
import pytest
from lab.google import ZONE, Google, ask, plain, refusal
from sim.clouddns import CloudDns

FRA, IAD, TYO = "europe-west3", "us-east4", "asia-northeast1"
TARGETS = {FRA: ["192.0.2.1", "192.0.2.2"], IAD: ["192.0.2.3"], TYO: ["192.0.2.4"]}
ALL = {"192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4"}
FRANKFURT, NEW_YORK, TOKYO, DUBLIN = "198.18.1.0", "198.18.4.0", "198.18.7.0", "198.18.2.0"
CHECK = {
    "name": "kc-check",
    "type": "HTTPS",
    "checkIntervalSec": 30,
    "httpsHealthCheck": {"port": 443, "requestPath": "/healthz", "host": "www.example.com"},
    "sourceRegions": ["us-central1", "europe-west1", "asia-east1"],
}
LINKS = "https://www.googleapis.com/compute/v1/projects/p/global/"
LINK = f"{LINKS}healthChecks/kc-check"


@pytest.fixture
def sim():
    with CloudDns(zones={"z": "example.com", "signed": "signed.test"}, signed=["signed"]) as sim:
        yield sim


@pytest.fixture
def g(sim, tmp_path):
    with Google(sim, tmp_path / "key.json") as g:
        yield g


@pytest.fixture
def check(g):
    insert(g)


def insert(g, **changed):
    return g.compute.healthChecks().insert(project="p", body=CHECK | changed).execute()


def items(targets):
    return [
        {"location": location, "healthCheckedTargets": {"externalEndpoints": found}}
        for location, found in targets.items()
    ]


def routed(kind, body, health_check=LINK, name="www.example.com.", rrtype="A"):
    policy = {kind: body} | ({"healthCheck": health_check} if health_check else {})
    return {"name": name, "type": rrtype, "ttl": 30, "routingPolicy": policy}


def geo(targets=TARGETS, **more):
    return routed("geo", {"items": items(targets)} | more)


def addresses(sim, client):
    rcode, found, ttl = ask(sim, "www.example.com.", client=client)
    assert (rcode, ttl) == ("NOERROR", 30)
    return found


# --- answers --------------------------------------------------------------------------------------


def test_the_nearest_healthy_region_answers(sim, g, check):
    g.change([geo()])
    fra, iad, tyo = (set(x) for x in TARGETS.values())
    nearest = {FRANKFURT: fra, DUBLIN: fra, NEW_YORK: iad, TOKYO: tyo, None: fra}
    assert {x: addresses(sim, x) for x in nearest} == nearest
    sim.down = {"192.0.2.1"}  # one of two
    assert addresses(sim, FRANKFURT) == {"192.0.2.2"}
    sim.down = fra
    assert addresses(sim, FRANKFURT) == iad and addresses(sim, TOKYO) == tyo
    sim.down = fra | iad
    assert addresses(sim, FRANKFURT) == tyo and addresses(sim, NEW_YORK) == tyo
    sim.down = ALL
    assert addresses(sim, FRANKFURT) == fra and addresses(sim, NEW_YORK) == iad
    sim.down = set()
    assert ask(sim, "www.example.com.", client=TOKYO, over=dns.query.tcp)[1] == tyo
    assert ask(sim, "www.example.com.", "AAAA") == ("NOERROR", set(), 300)


def test_a_fence_holds_when_all_behind_it_is_down(sim, g, check):
    g.change([geo(enableFencing=True)])
    fra = set(TARGETS[FRA])
    sim.down = {"192.0.2.2"}
    assert addresses(sim, FRANKFURT) == {"192.0.2.1"}
    sim.down = fra
    assert addresses(sim, FRANKFURT) == fra and addresses(sim, NEW_YORK) == {"192.0.2.3"}


def test_places_without_checks(sim, g):
    plain_items = [{"location": k, "rrdatas": v} for k, v in TARGETS.items()]
    g.change([routed("geo", {"items": plain_items}, None)])
    sim.down = ALL
    assert addresses(sim, TOKYO) == set(TARGETS[TYO])
    places = [
        {"location": FRA, "rrdatas": ["fra.example.com."]},
        {"location": TYO, "rrdatas": ["tyo.example.com."]},
    ]
    g.change([routed("geo", {"items": places}, None, "cname.example.com.", "CNAME")])
    assert ask(sim, "cname.example.com.", client=TOKYO)[1] == {"tyo.example.com."}


def test_what_is_never_checked_stays_beside_what_is(sim, g, check):
    mixed = {"location": FRA, "rrdatas": ["192.0.2.9"]} | items({FRA: ["192.0.2.1"]})[0]
    g.change([routed("geo", {"items": [mixed]})])
    assert addresses(sim, FRANKFURT) == {"192.0.2.1", "192.0.2.9"}
    sim.down = {"192.0.2.1", "192.0.2.9"}
    assert addresses(sim, FRANKFURT) == {"192.0.2.9"}


def test_weights(sim, g, check):
    weighted = [x | {"weight": w} for x, w in zip(items(TARGETS), (8.0, 2, 0), strict=True)]
    for x in weighted:
        del x["location"]
    g.change([routed("wrr", {"items": weighted})])
    drawn = [frozenset(addresses(sim, FRANKFURT)) for _ in range(200)]
    fra, iad = frozenset(TARGETS[FRA]), frozenset(TARGETS[IAD])
    assert set(drawn) == {fra, iad} and 120 < drawn.count(fra) < 190
    sim.down = set(fra)
    assert {frozenset(addresses(sim, FRANKFURT)) for _ in range(20)} == {iad}


def test_primary_then_backup(sim, g, check):
    backup = {"items": items({IAD: ["192.0.2.3"], TYO: ["192.0.2.4"]})}
    primary = {"primaryTargets": {"externalEndpoints": TARGETS[FRA]}, "backupGeoTargets": backup}
    g.change([routed("primaryBackup", primary)])
    assert addresses(sim, TOKYO) == set(TARGETS[FRA])
    sim.down = {"192.0.2.1"}
    assert addresses(sim, TOKYO) == {"192.0.2.2"}
    sim.down = set(TARGETS[FRA])
    assert addresses(sim, TOKYO) == {"192.0.2.4"} and addresses(sim, NEW_YORK) == {"192.0.2.3"}


def test_names_that_are_not_there(sim, g):
    g.change([plain("*.w.example.com.", "A", "192.0.2.1"), plain("a.b.example.com.", "TXT", '"x"')])
    g.change([plain("sub.example.com.", "NS", "ns.example.net.")])
    assert ask(sim, "x.y.w.example.com.") == ("NOERROR", {"192.0.2.1"}, 30)
    assert ask(sim, "x.w.example.com.", "TXT") == ("NOERROR", set(), 300)
    assert ask(sim, "b.example.com.") == ("NOERROR", set(), 300)  # an empty name with others below it
    assert ask(sim, "c.b.example.com.") == ("NXDOMAIN", set(), 300)
    assert ask(sim, "www.sub.example.com.") == ("NOERROR", set(), 30)
    assert ask(sim, "example.com.", "SOA")[2] == 21600
    assert ask(sim, "example.org.")[0] == "REFUSED"


# --- what is written, and how it reads back -------------------------------------------------------


def test_read_back(sim, g, check):
    """With every kind, default and empty list; to be deleted, it may come as it was written."""
    sent = geo({FRA: ["192.0.2.1"]})
    added = g.change([sent])["additions"][0]
    item = {
        "kind": "dns#rRSetRoutingPolicyGeoPolicyGeoPolicyItem",
        "location": FRA,
        "rrdatas": [],
        "signatureRrdatas": [],
        "healthCheckedTargets": {"externalEndpoints": ["192.0.2.1"], "internalLoadBalancers": []},
    }
    body = {"kind": "dns#rRSetRoutingPolicyGeoPolicy", "enableFencing": False, "items": [item]}
    policy = {"kind": "dns#rRSetRoutingPolicy", "geo": body, "healthCheck": LINK}
    head = {
        "kind": "dns#resourceRecordSet",
        "name": "www.example.com.",
        "type": "A",
        "ttl": 30,
        "rrdatas": [],
    }
    assert added == head | {"routingPolicy": policy}
    assert g.dns.resourceRecordSets().get(**ZONE, name="www.example.com.", type="A").execute() == added
    for other in (
        geo({FRA: ["192.0.2.2"]}),
        geo({IAD: ["192.0.2.1"]}),
        geo({FRA: ["192.0.2.1"]}, enableFencing=True),
    ):
        assert refusal(lambda other=other: g.change([geo()], [other]))[:2] == (412, "conditionNotMet")
    text = "Invalid value for 'entity.change.deletions[www.example.com.][A].rrdata': '<empty>'"
    bare = {k: v for k, v in sent.items() if k != "routingPolicy"}
    assert refusal(lambda: g.change([], [bare])) == (400, "invalid", text)
    g.change([geo()], [sent])
    g.change([plain("www.example.com.", "A", "192.0.2.7")], [geo()])
    assert addresses(sim, TOKYO) == {"192.0.2.7"}


def wrong(**paths):
    """A geo policy, changed: a__0__b=x sets ["a"][0]["b"] of its body."""
    value = copy.deepcopy(geo())
    for path, x in paths.items():
        *way, last = path.split("__")
        at = value["routingPolicy"]["geo"]
        for step in way:
            at = at[int(step) if step.isdigit() else step]
        at[last] = x
    return value


WRR = {"items": [{"weight": 1.0, "rrdatas": ["192.0.2.1"]}]}


@pytest.mark.parametrize(
    "rrset,text",
    [
        (geo() | {"rrdatas": ["192.0.2.1"]}, ".routingPolicy'"),
        (geo() | {"type": "AAAA"}, ".externalEndpoints[0]': '192.0.2.1'"),
        (geo() | {"type": "CAA"}, ".routingPolicy'"),
        (routed("geo", {"items": []}), ".routingPolicy.geo.items': '<empty>'"),
        (wrong(items__0__location="eu-central-1"), ".geo.items[0].location': 'eu-central-1'"),
        (wrong(items__1__location=FRA), f".geo.items[1].location': '{FRA}'"),
        (wrong(items__0__healthCheckedTargets={}), ".geo.items[0].rrdata': '<empty>'"),
        (wrong(items__0__healthCheckedTargets__externalEndpoints=["www.test."]), ".externalEndpoints[0]'"),
        (
            wrong(items__0__healthCheckedTargets__externalEndpoints=["192.0.2.1"] * 2),
            ".externalEndpoints[1]'",
        ),
        (wrong(items__0__rrdatas=["x"]), ".geo.items[0].rrdata[0]': 'x'"),
        (routed("geo", {"items": items(TARGETS)}, None), ".routingPolicy.healthCheck': '<empty>'"),
        (routed("wrr", WRR), ".routingPolicy.healthCheck'"),
        (routed("wrr", {"items": [{"rrdatas": ["192.0.2.1"]}]}, None), ".wrr.items[0].weight'"),
        (routed("wrr", {"items": [WRR["items"][0] | {"weight": -1}]}, None), ".weight': '-1'"),
        (routed("geo", {"items": items(TARGETS)}, f"{LINKS}healthChecks/none"), ".healthCheck': 'https"),
        (routed("geo", {"items": items(TARGETS)}, f"{LINKS}healthChecks/local"), ".healthCheck': 'https"),
        (routed("primaryBackup", {"backupGeoTargets": {"items": items(TARGETS)}}), ".primaryTargets'"),
    ],
)
def test_policies_refused(sim, g, check, rrset, text):
    insert(g, name="local", sourceRegions=[])
    status, reason, message = refusal(lambda: g.change([rrset]))
    assert (status, reason, text in message) == (400, "invalid", True), message
    assert ("www.example.com.", rrset["type"]) not in sim.rrsets("z")


def test_more_policies_refused(sim, g, check):
    both = geo()
    both["routingPolicy"]["wrr"] = WRR
    assert "'geo,wrr'" in refusal(lambda: g.change([both]))[2]
    balancer = {"ipAddress": "10.0.0.1", "loadBalancerType": "regionalL4ilb"}
    inner = wrong(items__0__healthCheckedTargets__internalLoadBalancers=[balancer])
    assert refusal(lambda: g.change([inner]))[1] == "internalLoadBalancerDisallowedInPublicZone"
    pairs = [{"weight": 1, "rrdatas": ["192.0.2.1"]}] * 101
    text = "The change would exceed quota for items per routing policy."
    assert refusal(lambda: g.change([routed("wrr", {"items": pairs}, None)])) == (403, "quotaExceeded", text)
    g.change([routed("wrr", {"items": pairs[:100]}, None)])

    text = "The change would exceed quota for internet health checks per managed zone."
    many = geo({FRA: [f"192.0.2.{i}" for i in range(60)], IAD: [f"192.0.2.{i}" for i in range(60, 101)]})
    many["name"] = "many.example.com."
    assert refusal(lambda: g.change([many])) == (403, "quotaExceeded", text)


def test_a_signed_zone_has_one_address_an_item(sim, g, check):
    def at(found, **more):
        each = items({FRA: found})[0] | more
        return routed("geo", {"items": [each]}, name="www.signed.test.")

    for bad in (at(["192.0.2.1", "192.0.2.2"]), at(["192.0.2.1"], rrdatas=["192.0.2.3"])):
        assert refusal(lambda bad=bad: g.change([bad], zone="signed"))[:2] == (400, "invalid")
    g.change([at(["192.0.2.1"])], zone="signed")
    assert ask(sim, "www.signed.test.")[1] == {"192.0.2.1"}


# --- health checks --------------------------------------------------------------------------------


def test_a_health_checks_life(sim, g):
    checks, operations = g.compute.healthChecks(), g.compute.globalOperations()
    one = {"project": "p", "healthCheck": "kc-check"}
    text = "The resource 'projects/p/global/healthChecks/kc-check' was not found"
    assert refusal(checks.get(**one).execute) == (404, "notFound", text)
    sim.pending = 0.2
    op = insert(g)
    assert (op["status"], op["progress"], op["targetLink"]) == ("RUNNING", 0, LINK)
    deadline = time.monotonic() + 10
    while op["status"] != "DONE" and time.monotonic() < deadline:
        op = operations.wait(project="p", operation=op["name"]).execute()
    assert operations.get(project="p", operation=op["name"]).execute()["status"] == "DONE"
    assert refusal(operations.get(project="p", operation="operation-1").execute)[:2] == (404, "notFound")
    found = checks.get(**one).execute()
    assert (found["timeoutSec"], found["unhealthyThreshold"], found["selfLink"]) == (5, 2, LINK)
    assert found["httpsHealthCheck"]["proxyHeader"] == "NONE"
    assert refusal(lambda: insert(g))[:2] == (409, "alreadyExists")

    checks.patch(**one, body={"unhealthyThreshold": 3}).execute()
    checks.update(**one, body=CHECK | {"checkIntervalSec": 60}).execute()
    found = checks.get(**one).execute()
    assert (found["checkIntervalSec"], found["unhealthyThreshold"]) == (60, 2)
    message = refusal(checks.update(**one, body=CHECK | {"sourceRegions": []}).execute)[2]
    assert "Source region list must not become empty." in message

    g.change([geo()])
    assert refusal(checks.delete(**one).execute)[:2] == (400, "resourceInUseByAnotherResource")
    g.change([], [geo()])
    checks.delete(**one).execute()
    assert sim.health_checks == {} and refusal(checks.delete(**one).execute)[:2] == (404, "notFound")


def test_a_request_is_done_once(sim, g):
    checks, request = g.compute.healthChecks(), str(uuid.uuid4())
    first = checks.insert(project="p", body=CHECK, requestId=request).execute()
    again = checks.insert(project="p", body=CHECK, requestId=request).execute()
    assert first["name"] == again["name"] and len(sim.health_checks) == 1
    assert "requestId" in refusal(checks.insert(project="p", body=CHECK, requestId="1").execute)[2]


def test_health_checks_by_name_and_page(sim, g):
    for name in ("kc-1", "kc-2", "kc-3", "other"):
        insert(g, name=name)
    checks = g.compute.healthChecks()
    seen, request = [], checks.list(project="p", filter='name eq "kc-.*"', maxResults=2)
    while request:
        reply = request.execute()
        seen.append([x["name"] for x in reply["items"]])
        request = checks.list_next(request, reply)
    assert seen == [["kc-1", "kc-2"], ["kc-3"]]
    assert "items" not in checks.list(project="p", filter='name = "kc-"').execute()
    assert len(checks.list(project="p").execute()["items"]) == 4
    assert (
        "Invalid list filter expression."
        in refusal(checks.list(project="p", filter="name like x").execute)[2]
    )


@pytest.mark.parametrize(
    "changed,field",
    [
        ({"name": "KC"}, "resource.name"),
        ({"checkIntervalSec": 29}, "resource.checkIntervalSec"),
        ({"timeoutSec": 31}, "resource.timeoutSec"),
        ({"unhealthyThreshold": 11}, "resource.unhealthyThreshold"),
        ({"sourceRegions": ["us-central1", "europe-west1"]}, "resource.sourceRegions"),
        ({"sourceRegions": ["us-central1", "europe-west1", "europe-west1"]}, "resource.sourceRegions"),
        ({"sourceRegions": ["us-central1", "europe-west1", "us-east-1"]}, "resource.sourceRegions"),
        ({"type": "TCP"}, "resource.httpsHealthCheck"),
        ({"tcpHealthCheck": {}}, "resource.tcpHealthCheck"),
        ({"httpsHealthCheck": {"port": 70000}}, "resource.httpsHealthCheck.port"),
        ({"httpsHealthCheck": {"proxyHeader": "PROXY_V1"}}, "resource.httpsHealthCheck.proxyHeader"),
    ],
)
def test_health_checks_refused(sim, g, changed, field):
    status, reason, message = refusal(lambda: insert(g, **changed))
    assert (status, reason) == (400, "invalid") and f"field '{field}'" in message, message
    assert sim.health_checks == {}


def test_more_health_checks_refused(sim, g):
    tcp = {k: v for k, v in CHECK.items() if k != "httpsHealthCheck"} | {"type": "TCP"}
    ssl = tcp | {"type": "SSL", "sslHealthCheck": {}}
    create = g.compute.healthChecks().insert
    message = refusal(create(project="p", body=tcp | {"tcpHealthCheck": {"request": "x"}}).execute)[2]
    assert "resource.tcpHealthCheck.request" in message
    assert "resource.type': 'SSL'" in refusal(create(project="p", body=ssl).execute)[2]
    create(project="p", body=tcp | {"tcpHealthCheck": {"port": 443}}).execute()
    assert sim.health_checks["kc-check"]["tcpHealthCheck"] == {"port": 443, "proxyHeader": "NONE"}
    local = {"project": "p", "healthCheck": "local"}
    insert(g, name="local", sourceRegions=[], checkIntervalSec=5)
    regions = {"sourceRegions": CHECK["sourceRegions"], "checkIntervalSec": 30}
    message = refusal(g.compute.healthChecks().patch(**local, body=regions).execute)[2]
    assert "Source region list must stay empty." in message
