"""Where webhooks may go: https to public addresses, unless an endpoint is marked private."""

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from urllib.parse import urlsplit

PORTS = (443, 8443)
_NAT64 = IPv6Network("64:ff9b::/96")


def refusal(url: str, *, private: bool) -> str | None:
    """Return why a URL must not be called, None if it may; names are looked at when resolved."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return "this is no URL"
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return "want a URL such as https://crm.example/hooks"
    if parts.username is not None or parts.password is not None:
        return "a URL with a user name in it is not called"
    if private:
        return None
    if parts.scheme != "https":
        return "want https; plain http is for endpoints marked `private: true`"
    if port is not None and port not in PORTS:
        return f"port {port} is not among {', '.join(map(str, PORTS))}"
    host = parts.hostname
    literal = _literal(host)
    if literal is not None:
        return None if is_public(literal) else f"{host} is not a public address"
    if host == "localhost" or host.endswith((".localhost", ".local", ".internal")):
        return f"{host} is a private name"
    if all(label.isdigit() or label.startswith("0x") for label in host.split(".") if label):
        return f"{host} is an address in disguise"
    return None


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Tell whether an address is out in the world; mapped and tunnelled ones by what is inside."""
    if isinstance(address, IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if inner is None and address.teredo is not None:
            inner = address.teredo[1]
        if inner is not None:
            return is_public(inner)
        if address in _NAT64:
            return is_public(IPv4Address(int(address) & 0xFFFFFFFF))
    return address.is_global and not address.is_multicast


def _literal(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(host.strip("[]"))
    except ValueError:
        return None
