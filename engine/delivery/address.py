"""Where webhooks may go: https to public addresses, unless an endpoint is marked private."""

import re
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from urllib.parse import urlsplit

PORTS = (443, 8443)
URL_SIZE_MAX = 2_048
_NAT64 = IPv6Network("64:ff9b::/96")
_UNICAST = IPv6Network("2000::/3")  # all that is given out; site-local and old forms lie outside
_RELAYS = IPv4Network("192.88.99.0/24")
# A client decodes %31 and folds full-width letters, so that a name turns into an address behind
# our back: a host is plain ASCII here, and what is not has its punycode form.
_HOST = re.compile(r"[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?\.?")
_PRIVATE_NAMES = (".localhost", ".local", ".internal", ".lan", ".home.arpa")


def refusal(url: str, *, private: bool) -> str | None:
    """Return why a URL must not be called, None if it may; names are looked at when resolved."""
    if len(url) > URL_SIZE_MAX or not url.isascii() or not url.isprintable() or " " in url:
        return f"want a URL of at most {URL_SIZE_MAX} printable ASCII characters"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return "this is no URL"
    host = parts.hostname
    if parts.scheme not in ("http", "https") or not host:
        return "want a URL such as https://crm.example/hooks"
    if "@" in parts.netloc or "\\" in url:
        return "a URL with a user name in it is not called"
    literal = _literal(host)
    if literal is None and not _HOST.fullmatch(host):
        return f"{host} is no name of a host"
    if literal is not None and not may_reach(literal, private=private):
        return f"{host} is not a public address"
    if private:
        return None
    return _not_public(parts.scheme, port, host, is_name=literal is None)


def _not_public(scheme: str, port: int | None, host: str, *, is_name: bool) -> str | None:
    if scheme != "https":
        return "want https; plain http is for endpoints marked `private: true`"
    if port is not None and port not in PORTS:
        return f"port {port} is not among {', '.join(map(str, PORTS))}"
    if not is_name:
        return None
    name = host.rstrip(".")
    if "." not in name or name.endswith(_PRIVATE_NAMES):
        return f"{host} is a private name"
    last = name.rsplit(".", 1)[1]
    if last.isdigit() or last.startswith("0x"):  # 0177.1 and the like: the system reads addresses
        return f"{host} is an address in disguise"
    return None


def may_reach(address: IPv4Address | IPv6Address, *, private: bool) -> bool:
    """Tell whether a resolved address may be connected to.

    A private endpoint may be on this machine or network, never among the link-local addresses:
    there the cloud's metadata service gives out passwords.
    """
    if is_public(address):
        return True
    plain = _inner(address)
    return private and not plain.is_link_local and not plain.is_multicast


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Tell whether an address is out in the world; mapped and tunnelled ones by what is inside."""
    plain = _inner(address)
    if plain is not address:
        return is_public(plain)
    if isinstance(address, IPv6Address) and address not in _UNICAST:
        return False
    if isinstance(address, IPv4Address) and address in _RELAYS:
        return False
    return address.is_global and not address.is_multicast


def _inner(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    if isinstance(address, IPv4Address):
        return address
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    tunnel = address.teredo[1] if address.teredo is not None else None
    return address.ipv4_mapped or address.sixtofour or tunnel or address


def _literal(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None
