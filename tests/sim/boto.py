"""boto3 as a client of the simulated AWS, and short words for its record sets."""

from contextlib import contextmanager

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from .aws_auth import KEY, SECRET
from .route53 import Route53


@contextmanager
def simulated():
    """A Route53 with the zone example.com, its id in zone_id, and a client of it."""
    with Route53(zones=["example.com"]) as sim:
        sim.zone_id, sim.client = sim.zone_ids["example.com"], client(sim)
        yield sim


def client(sim, attempts=1, key=KEY, secret=SECRET, validate=True):
    config = Config(
        retries={"total_max_attempts": attempts, "mode": "standard"},
        parameter_validation=validate,
        connect_timeout=5,
        read_timeout=10,
    )
    return boto3.client(
        "route53",
        endpoint_url=sim.url,
        region_name="us-east-1",
        aws_access_key_id=key,
        aws_secret_access_key=secret,
        config=config,
    )


def rr(name, kind="A", *values, ttl=30, **more):
    """A record set with values, or with AliasTarget (see alias) or without either if they are in `more`."""
    out = {"Name": name, "Type": kind}
    out.update(more)
    if values:
        out.update(TTL=ttl, ResourceRecords=[{"Value": v} for v in values])
    return out


def alias(zone_id, target, evaluate=True):
    return {"HostedZoneId": zone_id, "DNSName": target, "EvaluateTargetHealth": evaluate}


def change(c, zone_id, *changes):
    """changes: (action, record set) ..."""
    batch = {"Changes": [{"Action": action, "ResourceRecordSet": record} for action, record in changes]}
    return c.change_resource_record_sets(HostedZoneId=zone_id, ChangeBatch=batch)["ChangeInfo"]


def create(c, zone_id, *records):
    return change(c, zone_id, *[("CREATE", r) for r in records])


def listed(c, zone_id, **kwargs):
    pages = c.get_paginator("list_resource_record_sets").paginate(HostedZoneId=zone_id, **kwargs)
    return [r for page in pages for r in page["ResourceRecordSets"]]


def error_of(call, *args, **kwargs):
    """(status, code, message) of a call that must fail."""
    with pytest.raises(ClientError) as e:
        call(*args, **kwargs)
    reply = e.value.response
    return reply["ResponseMetadata"]["HTTPStatusCode"], reply["Error"]["Code"], reply["Error"]["Message"]
