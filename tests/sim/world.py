"""Where clients and regions are, for simulated providers that answer by place: the regions are those of
lib/geo, the distances are computed here; a client's place is told by its subnet."""

import ipaddress
import math
import re
from pathlib import Path

REGIONS = Path(__file__).resolve().parents[2] / "lib/geo/regions.c"

# Client subnet: place, latitude, longitude, continent, country. Of the range for benchmarks, RFC 2544.
CLIENTS = {
    "198.18.1.0/24": ("Frankfurt", 50.11, 8.68, "EU", "DE"),
    "198.18.2.0/24": ("Dublin", 53.35, -6.26, "EU", "IE"),
    "198.18.3.0/24": ("Madrid", 40.42, -3.70, "EU", "ES"),
    "198.18.4.0/24": ("New York", 40.71, -74.01, "NA", "US"),
    "198.18.5.0/24": ("San Francisco", 37.77, -122.42, "NA", "US"),
    "198.18.6.0/24": ("Sao Paulo", -23.55, -46.63, "SA", "BR"),
    "198.18.7.0/24": ("Tokyo", 35.68, 139.69, "AS", "JP"),
    "198.18.8.0/24": ("Singapore", 1.35, 103.82, "AS", "SG"),
    "198.18.9.0/24": ("Mumbai", 19.08, 72.88, "AS", "IN"),
    "198.18.10.0/24": ("Sydney", -33.87, 151.21, "OC", "AU"),
    "198.18.11.0/24": ("Johannesburg", -26.20, 28.05, "AF", "ZA"),
    "198.18.12.0/24": ("Cairo", 30.04, 31.24, "AF", "EG"),
}
SUBNETS = [(ipaddress.ip_network(k), v) for k, v in CLIENTS.items()]


def place_of(client):
    """(place, latitude, longitude, continent, country) of a client's address; others are in Frankfurt."""
    for net, place in SUBNETS:
        if client in net:
            return place
    return SUBNETS[0][1]


def regions(provider):
    """{code: (latitude, longitude)} of "aws", "gcp" or "azure"."""
    row = r'\{ "%s", "([^"]+)", "[^"]*", "\w\w", AT\((-?\d+), (-?\d+)\) \}' % provider
    found = re.findall(row, REGIONS.read_text())
    return {code: (int(lat) / 100, int(lon) / 100) for code, lat, lon in found}


def km(a, b):
    """Great circle between (latitude, longitude) pairs."""
    la, lo, lb, lp = map(math.radians, (*a[:2], *b[:2]))
    h = math.sin((lb - la) / 2) ** 2 + math.cos(la) * math.cos(lb) * math.sin((lp - lo) / 2) ** 2
    return 2 * 6371 * math.asin(math.sqrt(h))
