"""Record sets of Route 53: how names are written and ordered, which values a type may have, and which
elements a record set must or must not have. Record sets are dicts as botocore's model shapes them.

The texts of refusals are those that users of the real one have reported; where none was found, the code is
right and the text is ours (marked "ours")."""

import ipaddress
import re

import dns.exception
import dns.name
import dns.rdata
import dns.rdataclass
import dns.rdatatype

from .aws_auth import Refused
from .route53_limits import limit

PLAIN = re.compile(r"[a-z0-9_-]")
POLICIES = {
    "Weight": "weighted",
    "Region": "latency",
    "Failover": "failover",
    "GeoLocation": "geolocation",
    "MultiValueAnswer": "multivalue",
}
POLICY_LIST = "[Weight, Region, Failover, GeoLocation, or MultiValueAnswer]"
# What this simulator has no answers for.
BEYOND = ("CidrRoutingConfig", "GeoProximityLocation", "AZAffinity", "TrafficPolicyInstanceId")
SINGLE_VALUE = ("Weight", "Region", "MultiValueAnswer")  # API_ResourceRecordSet.html
ALIAS_TYPES_NOT = ("NS", "SOA")


class BadName(Exception):
    pass


def bad_name(code, why, name):
    return BadName(f"FATAL problem: {code} ({why}) encountered with '{name}'")


def labels_of(name):
    """The labels of a name with its escapes (\\052) resolved, in lower case."""
    text = name[:-1] if name.endswith(".") else name
    labels, label, at = [], "", 0
    while at < len(text):
        if text[at] == "\\" and re.fullmatch(r"[0-7]{3}", text[at + 1 : at + 4]):
            label += chr(int(text[at + 1 : at + 4], 8))
            at += 4
            continue
        if text[at] == ".":
            labels.append(label)
            label = ""
        else:
            label += text[at]
        at += 1
    return [x.lower() for x in [*labels, label]]


def canonical(name):
    """As Route 53 lists it: lower case, absolute, what is no letter, digit, - or _ as octal escapes."""
    labels = labels_of(name)
    if any(not x for x in labels):
        raise bad_name("DomainLabelEmpty", "Domain label is empty", name)
    if any(len(x) > limit["label"] for x in labels):
        raise bad_name("DomainLabelTooLong", "Domain label is too long", name)
    if sum(len(x) + 1 for x in labels) > limit["name"]:
        raise bad_name("DomainNameTooLong", "Domain name is too long", name)
    return ".".join(map(escape, labels)) + "."


def escape(label):
    return "".join(c if PLAIN.match(c) else f"\\{ord(c):03o}" for c in label)


def is_wild(name):
    return name.startswith("\\052.")


def within(name, zone):
    return name == zone or name.endswith("." + zone)


def order(record):
    """The key of a listing: labels reversed, the dot at the end counts; then type, then identifier."""
    return (name_order(record["Name"]), record["Type"], record.get("SetIdentifier", ""))


def name_order(name):
    return ".".join(reversed(labels_of(name))) + "."


def key_of(record):
    return (record["Name"], record["Type"], record.get("SetIdentifier"))


def policy_of(record):
    """The element of the record's routing policy; None for a simple one."""
    return next((k for k in POLICIES if k in record), None)


def change_text(change):
    r = change["ResourceRecordSet"]
    return (
        f"in Change with [Action={change['Action']}, Name={r['Name']}, Type={r['Type']}, "
        f"SetIdentifier={r.get('SetIdentifier', 'null')}]"
    )


def check_shape(change):
    """What a record set has to have, whatever else is in the zone: InvalidInput otherwise."""
    record, where = change["ResourceRecordSet"], change_text(change)
    for field in BEYOND:
        if field in record:
            raise Refused("InvalidInput", f"{field} is beyond this simulator {where}")
    values = "TTL" in record and "ResourceRecords" in record
    partly = ("TTL" in record) != ("ResourceRecords" in record)
    if partly or values == ("AliasTarget" in record):
        found = "more than one" if "AliasTarget" in record else "none"
        one = "[AliasTarget, all of [TTL, and ResourceRecords], or TrafficPolicyInstanceId]"
        text = f"Invalid request: Expected exactly one of {one}, but found {found} {where}"
        raise Refused("InvalidInput", text)
    policies = [k for k in POLICIES if k in record]
    if policies and "SetIdentifier" not in record:
        raise Refused("InvalidInput", f"Invalid request: Missing field 'SetIdentifier' {where}")
    if len(policies) > 1 or ("SetIdentifier" in record and not policies):
        found = "more than one" if policies else "none"
        text = f"Invalid request: Expected exactly one of {POLICY_LIST}, but found {found} {where}"
        raise Refused("InvalidInput", text)
    if record.get("MultiValueAnswer") is False or ("MultiValueAnswer" in record and "AliasTarget" in record):
        raise Refused("InvalidInput", f"Invalid request: MultiValueAnswer {where}")  # ours
    if len(record.get("ResourceRecords", [])) > 1 and any(k in record for k in SINGLE_VALUE):
        text = f"Invalid request: Expected exactly one ResourceRecord for a {POLICIES[policies[0]]} record"
        raise Refused("InvalidInput", f"{text} {where}")  # ours; the rule is in API_ResourceRecordSet.html


def problem(code, why, value):
    return f"Invalid Resource Record: FATAL problem: {code} ({why}) encountered with '{value}'"


def address_problem(kind, version, value):
    if " " in value:
        return problem(f"{kind}RRDATANotSingleField", "Value contains spaces", value)
    try:
        good = ipaddress.ip_address(value).version == version
    except ValueError:
        good = False
    return (
        None
        if good
        else problem(
            f"{kind}RRDATAIllegalIPv{version}Address", f"Value is not a valid IPv{version} address", value
        )
    )


STRING = re.compile(r'"((?:[^"\\]|\\.)*)"')


def text_problem(value):
    rest, strings = value.strip(), []
    while rest:
        found = STRING.match(rest)
        if not found:
            return problem("InvalidCharacterString", "Value should be enclosed in quotation marks", value)
        strings.append(re.sub(r"\\([0-7]{3}|.)", "x", found[1]))
        rest = rest[found.end() :].lstrip(" \t")
    if not strings:
        return problem("InvalidCharacterString", "Value should be enclosed in quotation marks", value)
    if any(len(s.encode()) > limit["txt_string"] for s in strings):
        return problem("CharacterStringTooLong", "Value is too long", value)
    return None


def other_problem(kind, value):
    try:
        rdata_of(kind, value)
    except (dns.exception.DNSException, ValueError, UnicodeError):
        return problem(f"{kind}RRDATAIncorrect", f"Value is not valid for type {kind}", value)  # ours
    if kind in ("CNAME", "NS", "PTR") and (" " in value or not value or value == "."):
        return problem("UnsupportedCharacter", "Value contains unsupported characters", value)
    return None


def value_problem(kind, value):
    """What is wrong with a value of a type, or None."""
    if kind == "A":
        return address_problem("A", 4, value)
    if kind == "AAAA":
        return address_problem("AAAA", 6, value)
    if kind in ("TXT", "SPF"):
        return text_problem(value)
    return other_problem(kind, value)


def octal_to_decimal(text):
    """Escapes of Route 53 are octal, those of master files decimal."""
    return re.sub(r"\\([0-7]{3})", lambda m: f"\\{int(m[1], 8):03d}", text)


def rdata_of(kind, value):
    """A value as dnspython's rdata; names without a dot at the end are absolute."""
    return dns.rdata.from_text(
        dns.rdataclass.IN, dns.rdatatype.from_text(kind), octal_to_decimal(value), dns.name.root, False
    )


def values_of(record):
    return [r["Value"] for r in record.get("ResourceRecords", [])]


def same(a, b):
    """Equal but for the order of values: what a DELETE has to say of the record it deletes."""
    return comparable(a) == comparable(b)


def comparable(record):
    out = dict(record)
    if "ResourceRecords" in out:
        out["ResourceRecords"] = sorted(values_of(record))
    return out
