"""The contract of the simulated Route 53's API, held to by boto3 and octoDNS."""

import math
import threading

import pytest
from botocore.exceptions import ClientError, HTTPClientError
from sim import boto, route53_limits
from sim.boto import alias, change, create, error_of, rr
from sim.route53 import MODEL, refusal
from sim.route53_limits import limit

WWW = rr("www.example.com", "A", "192.0.2.1")
LATENCY = rr("l.example.com", "A", "192.0.2.1", SetIdentifier="a", Region="eu-central-1")
BAD, INPUT = "InvalidChangeBatch", "InvalidInput"


@pytest.fixture(scope="session", autouse=True)
def root_only():
    """Nothing here needs root."""


@pytest.fixture
def sim():
    with boto.simulated() as s:
        yield s


@pytest.fixture
def zone(sim):
    return sim.client, sim.zone_id


def test_soa_stays(sim, zone):
    soa = next(r for r in sim.rrsets("example.com") if r["Type"] == "SOA")
    _, code, message = error_of(change, *zone, ("DELETE", soa))
    assert (code, message) == (BAD, "[A HostedZone must contain exactly one SOA record.]")


def test_all_messages_of_a_batch(sim, zone):
    """In either form that the service has for them."""
    bad = [rr("a.example.com", "A", "x"), rr("b.example.org", "A", "192.0.2.1")]
    _, _, message = error_of(create, *zone, *bad)
    assert message.startswith("[Invalid Resource Record:")
    assert message.endswith("RRSet with DNS name b.example.org. is not permitted in zone example.com.]")
    sim.batch_error_form, bodies = "InvalidChangeBatch", []
    keep = lambda response_dict, **_: bodies.append(response_dict["body"])  # noqa: E731
    sim.client.meta.events.register("response-received.route53", keep)
    error_of(create, *zone, *bad)  # botocore finds no code in this form
    assert bodies[0].count(b"<Message>") == 2 and b"</Messages><RequestId>" in bodies[0]


def test_compare_and_swap(sim, zone):
    """DELETE of what was read and CREATE of what is wanted, in one batch: of 20 writers one wins."""
    create(*zone, WWW)
    won = []

    def write(i):
        new = rr("www.example.com", "A", f"192.0.2.{100 + i}")
        try:
            change(boto.client(sim), sim.zone_id, ("DELETE", WWW), ("CREATE", new))
            won.append(new["ResourceRecords"][0]["Value"])
        except ClientError as e:
            assert "do not match the current values" in str(e)

    threads = [threading.Thread(target=write, args=[i]) for i in range(20)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(won) == 1
    www = [r for r in sim.rrsets("example.com") if r["Name"] == "www.example.com."]
    assert [r["ResourceRecords"] for r in www] == [[{"Value": won[0]}]]


def test_policy_changes_in_one_batch(sim, zone):
    """From latency to weighted, all of the set at once; the order of values does not matter to a DELETE."""
    create(*zone, LATENCY, rr("m.example.com", "A", "192.0.2.1", "192.0.2.2"))
    weighted = rr("l.example.com", "A", "192.0.2.1", SetIdentifier="a", Weight=1)
    change(*zone, ("DELETE", LATENCY), ("CREATE", weighted))
    change(*zone, ("DELETE", rr("M.Example.com.", "A", "192.0.2.2", "192.0.2.1")))
    assert [r.get("Weight") for r in sim.rrsets("example.com") if r["Type"] == "A"] == [1]


def test_guardrail_of_aliases(sim, zone):
    """A record that an alias points at may go, unless the zone's ALIAS_TARGET_CHECK is on."""
    create(*zone, WWW, rr("x.example.com", "A", AliasTarget=alias(sim.zone_id, "www.example.com")))
    sim.guard_aliases = True
    assert error_of(change, *zone, ("DELETE", WWW))[1] == BAD
    change(*zone, ("DELETE", WWW), ("CREATE", rr("www.example.com", "A", "192.0.2.2")))
    sim.guard_aliases = False
    change(*zone, ("DELETE", rr("www.example.com", "A", "192.0.2.2")))


def test_routed_records_have_a_limit(zone):
    most = limit["routed_records"]
    records = [rr("w.example.com", "A", "192.0.2.1", SetIdentifier=str(i), Weight=1) for i in range(most + 1)]
    create(*zone, *records[:-1])
    assert error_of(create, *zone, records[-1])[1] == BAD


def test_zone_is_full(sim, zone):
    most = limit["zone_records"]
    records = [rr(f"n{i}.example.com", "A", "192.0.2.1") for i in range(most - 1)]
    for i in range(0, most - 2, 1000):
        create(*zone, *records[i : min(i + 1000, most - 2)])
    _, code, message = error_of(create, *zone, records[-1])
    assert (code, message) == (BAD, f"[Exceeded limit MAX_RRSETS_BY_ZONE for zone: {sim.zone_id}]")
    assert len(boto.listed(*zone)) == most


def test_paging(sim, zone):
    """Over 300 records, and through a set of identifiers that a page's border cuts."""
    plain = [rr(f"a{i:03}.example.com", "A", "192.0.2.1") for i in range(290)]
    routed = [rr("b.example.com", "A", "192.0.2.1", SetIdentifier=f"s{i:02}", Weight=1) for i in range(60)]
    create(*zone, *plain, *routed)
    c = sim.client
    first = c.list_resource_record_sets(HostedZoneId=sim.zone_id, MaxItems="1000")
    assert len(first["ResourceRecordSets"]) == 300 and first["IsTruncated"] and first["MaxItems"] == "300"
    assert (first["NextRecordName"], first["NextRecordType"]) == ("b.example.com.", "A")
    assert first["NextRecordIdentifier"] == "s08"
    everything = boto.listed(*zone)
    assert everything == sim.rrsets("example.com") and len(everything) == 352
    # Who forgets the identifier begins the set again.
    again = c.list_resource_record_sets(
        HostedZoneId=sim.zone_id, StartRecordName="b.example.com.", StartRecordType="A"
    )
    assert again["ResourceRecordSets"][0]["SetIdentifier"] == "s00"
    assert boto.listed(*zone, PaginationConfig={"PageSize": 7}) == everything


@pytest.mark.parametrize("start", [{"StartRecordType": "A"}, {"MaxItems": "0"}, {"MaxItems": "x"}])
def test_listing_refused(sim, start):
    call = sim.client.list_resource_record_sets
    assert error_of(call, HostedZoneId=sim.zone_id, **start)[1] == INPUT


def test_order_and_names(zone):
    """By labels from the right; `*` as \\052; names in lower case."""
    for name in ("*.example.com", "a.b.example.com", "B.example.com", "_x.example.com", "b-c.example.com"):
        create(*zone, rr(name, "A", "192.0.2.1"))
    assert [r["Name"] for r in boto.listed(*zone)][2:] == [
        "\\052.example.com.",
        "_x.example.com.",
        "b-c.example.com.",
        "b.example.com.",
        "a.b.example.com.",
    ]
    change(*zone, ("DELETE", rr("\\052.example.com", "A", "192.0.2.1")))


def test_pending(sim, zone):
    """A change is PENDING until its time has come, or for good."""
    clock = [1000.0]
    sim.now, sim.pending = lambda: clock[0], 5
    info = create(*zone, WWW)
    assert info["Status"] == "PENDING"
    get = lambda i: sim.client.get_change(Id=i["Id"])["ChangeInfo"]["Status"]  # noqa: E731
    assert get(info) == "PENDING"
    clock[0] += 5
    assert get(info) == "INSYNC"
    sim.pending = math.inf
    stuck = change(*zone, ("DELETE", WWW))
    clock[0] += 1e9
    assert get(stuck) == "PENDING"
    sim.settle()
    assert get(stuck) == "INSYNC"
    assert error_of(sim.client.get_change, Id="C0")[:2] == (404, "NoSuchChange")


def test_lost_reply(sim, zone):
    """Done, and nobody was told: who tries again learns that it exists."""
    sim.fault("POST .*/rrset", "lose")
    with pytest.raises(HTTPClientError):
        create(*zone, WWW)
    assert "already exists" in error_of(create, *zone, WWW)[2]
    sim.fault("POST .*/rrset", "drop")
    with pytest.raises(HTTPClientError):
        change(*zone, ("DELETE", WWW))
    change(*zone, ("DELETE", WWW))


def test_prior_request_not_complete(sim, zone):
    """While another change is made; botocore tries again."""
    sim.fault("POST .*/rrset", lambda r: refusal("PriorRequestNotComplete"))
    assert error_of(create, *zone, WWW)[:2] == (400, "PriorRequestNotComplete")
    sim.change_takes = 0.5
    codes = []

    def write(i):
        try:
            create(boto.client(sim), sim.zone_id, rr(f"p{i}.example.com", "A", "192.0.2.1"))
        except ClientError as e:
            codes.append(e.response["Error"]["Code"])

    threads = [threading.Thread(target=write, args=[i]) for i in range(3)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert codes == ["PriorRequestNotComplete"] * 2


def test_throttling(sim):
    """Buckets of the account and of the action; with botocore's retries the call is made in the end."""
    clock = [0.0]
    sim.now, sim.throttle = lambda: clock[0], True
    made = sim.client.create_health_check(
        CallerReference="c", HealthCheckConfig={"Type": "TCP", "Port": 80, "IPAddress": "192.0.2.1"}
    )["HealthCheck"]["Id"]
    burst = route53_limits.ACTION_BUCKETS["GetHealthCheckStatus"][0]
    status = sim.client.get_health_check_status
    for _ in range(burst):
        status(HealthCheckId=made)
    assert error_of(status, HealthCheckId=made) == (400, "Throttling", "Rate exceeded")
    sim.client.get_health_check(HealthCheckId=made)
    clock[0] += 1
    status(HealthCheckId=made)
    assert error_of(status, HealthCheckId=made)[1] == "Throttling"
    sim.now = lambda: clock.__setitem__(0, clock[0] + 0.4) or clock[0]
    seen = len(sim.requests)
    boto.client(sim, attempts=5).get_health_check_status(HealthCheckId=made)
    assert len(sim.requests) - seen == 3


def test_account_bucket(sim):
    sim.now, sim.throttle = lambda: 0.0, True
    for _ in range(route53_limits.ACCOUNT_BUCKET[0] // 2):
        sim.client.list_hosted_zones()
        sim.client.list_health_checks()
    assert error_of(sim.client.get_hosted_zone, Id=sim.zone_id)[1] == "Throttling"


def test_signatures(sim):
    """Computed again over what arrived; the clock, the key and the action are looked at."""
    call = sim.client.list_hosted_zones
    assert error_of(boto.client(sim, key="AKIDOTHER").list_hosted_zones)[:2] == (403, "InvalidClientTokenId")
    assert error_of(boto.client(sim, secret="x").list_hosted_zones)[:2] == (403, "SignatureDoesNotMatch")
    for skew, text in (301, "Signature expired"), (-301, "Signature not yet current"):
        sim.skew = skew
        status, code, message = error_of(call)
        assert (status, code) == (403, "SignatureDoesNotMatch") and text in message and "5 min." in message
    sim.skew = 290
    call()
    sim.deny = {"ListHostedZones"}
    assert error_of(call)[:2] == (403, "AccessDenied")
    sim.client.list_health_checks()


@pytest.mark.parametrize(
    "tamper, code",
    [
        (lambda r: r.headers.__delitem__("Authorization"), "MissingAuthenticationToken"),
        (lambda r: setattr(r, "url", r.url + "?maxitems=1"), "SignatureDoesNotMatch"),
        (lambda r: r.headers.__setitem__("Authorization", "AWS4-HMAC-SHA256 x"), "IncompleteSignature"),
    ],
)
def test_tampered_on_the_way(sim, tamper, code):
    sim.client.meta.events.register("before-send.route53", lambda request, **_: tamper(request))
    assert error_of(sim.client.list_hosted_zones)[:2] == (403, code)


def test_tampered_body(sim, zone):
    def tamper(request, **_):
        request.body = request.body.replace(b"192.0.2.1", b"192.0.2.9")

    sim.client.meta.events.register("before-send.route53", tamper)
    assert error_of(create, *zone, WWW)[:2] == (403, "SignatureDoesNotMatch")


@pytest.mark.parametrize(
    "old, new, code, text",
    [
        (b"</Changes>", b"", "MalformedInput", ""),
        (b"ChangeResourceRecordSetsRequest", b"Change", "MalformedInput", "is not valid, expected"),
        (b"<TTL>30</TTL>", b"<Colour>red</Colour>", INPUT, "starting with element 'Colour'"),
        (b"<Type>A</Type>", b"", INPUT, "The content of element 'ResourceRecordSet' is not complete"),
        (b"<Type>A</Type>", b"<Type>A</Type><Type>A</Type>", INPUT, "starting with element 'Type'"),
        (b"<TTL>30</TTL>", b"<TTL>soon</TTL>", INPUT, "is not a valid value for 'integer'"),
        (b"<Action>CREATE</Action>", b"<Action>PATCH</Action>", INPUT, "PATCH"),
        (b"<ResourceRecord><Value>192.0.2.1</Value></ResourceRecord>", b"", INPUT, "is not complete"),
        (b"https://route53", b"http://route53", "MalformedInput", ""),
    ],
)
def test_body_against_the_model(sim, zone, old, new, code, text):
    def edit(request, **_):
        assert old in request.data
        request.data = request.data.replace(old, new)

    sim.client.meta.events.register("before-sign.route53", edit)
    status, got, message = error_of(create, *zone, WWW)
    assert (status, got) == (400, code) and text in message


def test_empty_batch(sim):
    _, code, message = error_of(change, boto.client(sim, validate=False), sim.zone_id)
    assert code == INPUT and "The content of element 'Changes' is not complete" in message


def test_order_of_elements(sim, zone):
    """The reference asks for it. The service takes any, and holding clients to it is a choice here."""
    odd = {"Type": "A", **rr("www.example.com", "A", "192.0.2.1")}
    create(*zone, odd)
    sim.strict_order = True
    assert "starting with element 'Name'" in error_of(change, *zone, ("DELETE", odd))[2]
    change(*zone, ("DELETE", WWW | {"TTL": 30}))


def test_zones(sim):
    c = sim.client
    made = c.create_hosted_zone(Name="b.example.org", CallerReference="r")
    assert made["DelegationSet"]["NameServers"] == [f"ns-{5 + i}.awsdns-{i:02}.test" for i in range(4)]
    assert error_of(c.create_hosted_zone, Name="x.org", CallerReference="r")[:2] == (
        409,
        "HostedZoneAlreadyExists",
    )
    assert c.get_hosted_zone(Id=made["HostedZone"]["Id"])["HostedZone"]["ResourceRecordSetCount"] == 2
    assert error_of(c.get_hosted_zone, Id="Z0")[:2] == (404, "NoSuchHostedZone")
    assert error_of(create, c, "Z0", WWW)[:2] == (404, "NoSuchHostedZone")
    pages = c.get_paginator("list_hosted_zones").paginate(PaginationConfig={"PageSize": 1})
    assert [z["Name"] for p in pages for z in p["HostedZones"]] == ["example.com.", "b.example.org."]
    named = c.list_hosted_zones_by_name(DNSName="example.com", MaxItems="1")
    assert [z["Name"] for z in named["HostedZones"]] == ["example.com."] and named["IsTruncated"]
    assert named["NextDNSName"] == "b.example.org."


def test_limits_agree_with_the_model():
    """Where botocore's model has a number for what the table has one for."""
    rrset = MODEL.operations["ChangeResourceRecordSets"].input_shape.members["ChangeBatch"].members["Changes"]
    rrset = rrset.member.members["ResourceRecordSet"].members
    config = MODEL.operations["CreateHealthCheck"].input_shape.members["HealthCheckConfig"].members
    tags = MODEL.operations["ChangeTagsForResource"].input_shape.members["AddTags"]
    assert limit["ttl"] == rrset["TTL"].metadata["max"]
    assert limit["weight"] == rrset["Weight"].metadata["max"]
    assert limit["set_identifier"] == rrset["SetIdentifier"].metadata["max"]
    assert limit["failure_threshold"] == config["FailureThreshold"].metadata["max"]
    interval = config["RequestInterval"].metadata
    assert route53_limits.REQUEST_INTERVALS == (interval["min"], interval["max"])
    assert route53_limits.CHECKER_REGIONS == config["Regions"].metadata["min"]
    assert limit["tags"] == tags.metadata["max"]
    assert all(source.startswith("https://") for _, source in route53_limits.LIMITS.values())


def test_octodns(sim, tmp_path, monkeypatch):
    """A zone as octoDNS keeps it: the second plan is empty."""
    from octodns.provider.yaml import YamlProvider
    from octodns.zone import Zone
    from octodns_route53 import Route53Provider

    monkeypatch.setenv("AWS_ENDPOINT_URL_ROUTE_53", sim.url)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    (tmp_path / "example.com.yaml").write_text(
        "'':\n- {ttl: 60, type: A, values: [192.0.2.1, 192.0.2.2]}\n"
        "- {type: MX, values: [{exchange: mail.example.com., preference: 10}]}\n"
        "'*': {type: CNAME, value: www.example.com.}\n"
        "text: {type: TXT, value: 'v=1 o=x; s=y'}\n"
        "www: {type: AAAA, value: '2001:db8::1'}\n"
    )
    want = Zone("example.com.", [])
    YamlProvider("yaml", str(tmp_path), escaped_semicolons=False).populate(want)
    provider = Route53Provider("r53", access_key_id="AKIDEXAMPLE", secret_access_key="secret")
    plan = provider.plan(want)
    assert len(plan.changes) == 5
    provider.apply(plan)
    assert len(sim.rrsets("example.com")) == 7
    again = Route53Provider("r53", access_key_id="AKIDEXAMPLE", secret_access_key="secret")
    assert again.plan(want) is None
