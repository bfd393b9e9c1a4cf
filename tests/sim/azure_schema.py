"""Bodies against the models of Microsoft's own SDK, azure-mgmt-dns and azure-mgmt-trafficmanager: no field
that the model does not know, no value of another type, no enum's value that is not in its list."""

import azure.mgmt.dns.v2018_05_01.models as dns_models
import azure.mgmt.trafficmanager.models as tm_models

from sim.azure_errors import Refused

PLAIN = {"str": str, "int": int, "bool": bool, "float": (int, float)}

# The attribute maps say "str" where the documentation of a model names an enum.
ENUMS = {
    ("Zone", "zone_type"): dns_models.ZoneType,
    ("Profile", "profile_status"): tm_models.ProfileStatus,
    ("Profile", "traffic_routing_method"): tm_models.TrafficRoutingMethod,
    ("Profile", "traffic_view_enrollment_status"): tm_models.TrafficViewEnrollmentStatus,
    ("Profile", "allowed_endpoint_record_types"): tm_models.AllowedEndpointRecordType,
    ("MonitorConfig", "protocol"): tm_models.MonitorProtocol,
    ("MonitorConfig", "profile_monitor_status"): tm_models.ProfileMonitorStatus,
    ("Endpoint", "endpoint_status"): tm_models.EndpointStatus,
    ("Endpoint", "endpoint_monitor_status"): tm_models.EndpointMonitorStatus,
    ("Endpoint", "always_serve"): tm_models.AlwaysServe,
}


# octoDNS sends a whole profile where a reference is wanted, and Azure takes it (octodns-azure,
# _params_for_A).
LENIENT = ("SubResource",)


class Wrong(Exception):
    pass


def check_enum(enum, value, path):
    known = {member.value.lower() for member in enum}
    for v in value if isinstance(value, list) else [value]:
        if v.lower() not in known:
            raise Wrong(f"'{v}' is none of {', '.join(m.value for m in enum)}. Path '{path}'.")


def check_value(models, kind, value, path, request):
    if kind[0] == "[":
        if not isinstance(value, list):
            raise Wrong(f"a list is wanted. Path '{path}'.")
        for i, v in enumerate(value):
            check_value(models, kind[1:-1], v, f"{path}[{i}]", request)
    elif kind[0] == "{":
        if not isinstance(value, dict):
            raise Wrong(f"an object is wanted. Path '{path}'.")
        for k, v in value.items():
            check_value(models, kind[1:-1], v, f"{path}.{k}", request)
    elif kind in PLAIN:
        if not isinstance(value, PLAIN[kind]) or isinstance(value, bool) != (kind == "bool"):
            raise Wrong(f"{kind} is wanted. Path '{path}'.")
    else:
        check_model(models, getattr(models, kind), value, path, request)


def check_model(models, model, body, path, request):
    if not isinstance(body, dict):
        raise Wrong(f"an object is wanted. Path '{path}'.")
    fields = {}
    for attribute, how in model._attribute_map.items():
        fields[how["key"]] = (attribute, how["type"])
    inner = {key.split(".")[0] for key in fields if "." in key}
    for key, value in flat(body, inner):
        where = f"{path}.{key}".lstrip(".")
        if key not in fields and model.__name__ in LENIENT:
            continue
        if key not in fields:
            raise Wrong(
                f"Could not find member '{key}' on object of type '{model.__name__}'. Path '{where}'."
            )
        if value is None:
            continue
        attribute, kind = fields[key]
        if request and model._validation.get(attribute, {}).get("readonly"):
            raise Wrong(f"'{where}' is read-only.")
        check_value(models, kind, value, where, request)
        if (model.__name__, attribute) in ENUMS:
            check_enum(ENUMS[model.__name__, attribute], value, where)
    for attribute, rule in model._validation.items():
        if request and rule.get("required") and model._attribute_map[attribute]["key"] not in body:
            raise Wrong(f"'{attribute}' is missing.")


def flat(body, inner):
    """(key, value) with the keys of models: "properties.TTL" for what they lift out of an inner object."""
    for key, value in body.items():
        if key in inner and isinstance(value, dict):
            for k, v in value.items():
                yield f"{key}.{k}", v
        elif key in inner:
            raise Wrong(f"an object is wanted. Path '{key}'.")
        else:
            yield key, value


def request_body(models, name, body):
    try:
        check_model(models, getattr(models, name), body, "", True)
    except Wrong as e:
        raise Refused(
            400,
            "InvalidRequestContent",
            f"The request content was invalid and could not be deserialized: '{e}'",
        ) from None


def reply_body(models, name, body):
    """Raises Wrong: what we send must be what the SDK can read, by our eyes and by its own."""
    model = getattr(models, name)
    check_model(models, model, body, "", False)
    if model.deserialize(body, "application/json") is None:
        raise Wrong(f"{name} does not deserialize")
