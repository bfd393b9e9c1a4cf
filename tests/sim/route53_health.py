"""Health checks and tags of a simulated Route 53. No check is made: what is unhealthy is what a test put into
`down`, addresses or host names."""

import datetime
import ipaddress
import uuid

from .aws_auth import Refused
from .route53_limits import CHECKER_REGIONS, REQUEST_INTERVALS, limit
from .route53_policy import Health

# "local, private, non-routable, or multicast" (API_HealthCheckConfig.html), but for the ranges for
# documentation and benchmarks, in which the endpoints of tests are.
UNREACHABLE = [
    ipaddress.ip_network(n)
    for n in (
        "0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.168.0.0/16 "
        "224.0.0.0/3 ::1/128 fe80::/10 fc00::/7 ff00::/8"
    ).split()
]
CHECKERS = (
    "us-east-1 us-west-1 us-west-2 eu-west-1 ap-southeast-1 ap-southeast-2 ap-northeast-1 sa-east-1"
).split()
PORTS = {"HTTP": 80, "HTTPS": 443, "HTTP_STR_MATCH": 80, "HTTPS_STR_MATCH": 443}
RESETTABLE = ("ChildHealthChecks", "FullyQualifiedDomainName", "Regions", "ResourcePath")
NOT_CONFIG = ("HealthCheckId", "HealthCheckVersion", "ResetElements")


def now_text():
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def wrong(text):
    return Refused("InvalidInput", f"Invalid parameter : {text}")


def with_defaults(config):
    kind, out = config["Type"], dict(config)
    if kind == "CALCULATED":
        out.setdefault("HealthThreshold", len(config.get("ChildHealthChecks", [])))
    else:
        out.setdefault("RequestInterval", 30)
        out.setdefault("FailureThreshold", 3)
        out.setdefault("MeasureLatency", False)
    if kind in PORTS:
        out.setdefault("Port", PORTS[kind])
        out.setdefault("EnableSNI", kind.startswith("HTTPS"))
    out.setdefault("Inverted", False)
    out.setdefault("Disabled", False)
    return out


def check_endpoint(config):
    kind = config["Type"]
    if "IPAddress" not in config and "FullyQualifiedDomainName" not in config:
        raise wrong("Either IPAddress or FullyQualifiedDomainName must be specified.")
    if "IPAddress" in config:
        address = ipaddress.ip_address(config["IPAddress"])
        if any(address in net for net in UNREACHABLE if net.version == address.version):
            raise wrong(f"IP address {address} is in a private or reserved range.")
    if "Port" not in config:
        raise wrong(f"Port must be specified for a health check of type {kind}.")
    if ("SearchString" in config) != kind.endswith("STR_MATCH"):
        raise wrong(f"SearchString is for types of STR_MATCH, and they need it; the type is {kind}.")
    if kind == "TCP" and ({"ResourcePath", "EnableSNI"} & set(config)):
        raise wrong("ResourcePath and EnableSNI cannot be specified for a health check of type TCP.")
    if config["RequestInterval"] not in REQUEST_INTERVALS:
        raise wrong(f"RequestInterval must be one of {REQUEST_INTERVALS}.")
    regions = config.get("Regions")
    if regions is not None and (len(set(regions)) < CHECKER_REGIONS or not set(regions) <= set(CHECKERS)):
        raise wrong(f"Regions must have at least {CHECKER_REGIONS} of {CHECKERS}.")


class HealthChecks:
    """The part of Route53 with health checks."""

    def check_config(self, config):
        config = with_defaults(config)
        if config["Type"] in ("CLOUDWATCH_METRIC", "RECOVERY_CONTROL"):
            raise wrong(f"{config['Type']} is beyond this simulator.")
        if config["Type"] != "CALCULATED":
            check_endpoint(config)
        for child in config.get("ChildHealthChecks", []):
            if child not in self.health_checks:
                raise wrong(f"ChildHealthCheck {child} does not exist.")
        return config

    def health_check(self, check_id):
        if check_id not in self.health_checks:
            raise Refused("NoSuchHealthCheck", f"A health check with id {check_id} does not exist.", 404)
        return self.health_checks[check_id]

    def create_health_check(self, params):
        reference, config = params["CallerReference"], self.check_config(params["HealthCheckConfig"])
        found = next((c for c in self.health_checks.values() if c["CallerReference"] == reference), None)
        if reference in self.deleted_references or (found and found["HealthCheckConfig"] != config):
            text = "A different health check has already been created with the specified caller reference."
            raise Refused("HealthCheckAlreadyExists", text, 409)
        if not found:
            if len(self.health_checks) >= limit["health_checks"]:
                text = f"This account has its {limit['health_checks']} health checks."
                raise Refused("TooManyHealthChecks", text)
            check_id = str(uuid.uuid4())
            found = {
                "Id": check_id,
                "CallerReference": reference,
                "HealthCheckConfig": config,
                "HealthCheckVersion": 1,
            }
            self.health_checks[check_id] = found
        where = f"{self.url}/2013-04-01/healthcheck/{found['Id']}"
        return {"HealthCheck": found, "Location": where}

    def update_health_check(self, params):
        check = self.health_check(params["HealthCheckId"])
        if params.get("HealthCheckVersion", check["HealthCheckVersion"]) != check["HealthCheckVersion"]:
            text = "The HealthCheckVersion in the request doesn't match the one of the health check."
            raise Refused("HealthCheckVersionMismatch", text, 409)
        config = dict(check["HealthCheckConfig"])
        for element in params.get("ResetElements", []):
            if element in RESETTABLE:
                config.pop(element, None)
        config.update({k: v for k, v in params.items() if k not in NOT_CONFIG})
        check["HealthCheckConfig"] = self.check_config(config)
        check["HealthCheckVersion"] += 1
        return {"HealthCheck": check}

    def get_health_check(self, params):
        return {"HealthCheck": self.health_check(params["HealthCheckId"])}

    def list_health_checks(self, params):
        found, more = self.page(list(self.health_checks), params, limit["health_check_page"])
        return {"HealthChecks": [self.health_checks[i] for i in found], **more}

    def delete_health_check(self, params):
        """Also one that records refer to: HealthCheckInUse "is not in use" (API_DeleteHealthCheck.html)."""
        check = self.health_check(params["HealthCheckId"])
        del self.health_checks[check["Id"]]
        self.deleted_references.add(check["CallerReference"])
        self.tags.pop(("healthcheck", check["Id"]), None)
        return {}

    def get_health_check_status(self, params):
        check = self.health_check(params["HealthCheckId"])
        if Health(self.health_checks, self.down).of(check["Id"]):
            status = "Success: HTTP Status Code 200, OK"
        else:
            status = "Failure: Connection timed out. The endpoint or the internet connection is down."
        report = {"Status": status, "CheckedTime": now_text()}
        regions = check["HealthCheckConfig"].get("Regions", CHECKERS)
        return {"HealthCheckObservations": [{"Region": r, "StatusReport": report} for r in regions]}

    def tagged(self, kind, resource):
        if kind == "healthcheck":
            self.health_check(resource)
        else:
            self.zone(resource)
        return self.tags.setdefault((kind, resource), {})

    def change_tags_for_resource(self, params):
        tags = dict(self.tagged(params["ResourceType"], params["ResourceId"]))
        for key in params.get("RemoveTagKeys", []):
            tags.pop(key, None)
        tags.update({t["Key"]: t.get("Value", "") for t in params.get("AddTags", [])})
        if len(tags) > limit["tags"]:
            raise wrong(f"A resource has at most {limit['tags']} tags.")
        self.tags[params["ResourceType"], params["ResourceId"]] = tags
        return {}

    def tag_set(self, kind, resource):
        tags = self.tagged(kind, resource)
        return {
            "ResourceType": kind,
            "ResourceId": resource,
            "Tags": [{"Key": k, "Value": v} for k, v in tags.items()],
        }

    def list_tags_for_resource(self, params):
        return {"ResourceTagSet": self.tag_set(params["ResourceType"], params["ResourceId"])}

    def list_tags_for_resources(self, params):
        return {"ResourceTagSets": [self.tag_set(params["ResourceType"], i) for i in params["ResourceIds"]]}
