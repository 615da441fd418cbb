"""Which URLs may be called: the table of what attackers try, and what honest people have."""

import asyncio
import socket
from ipaddress import ip_address

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from engine.adapters.http import HttpSender
from engine.delivery.address import may_reach, refusal
from engine.delivery.model import Request
from tests.receiver import receiver

REFUSED = [
    "https://127.0.0.1/",
    "https://127.0.0.1:8443/",
    "https://127.1/",
    "https://0177.0.0.1/",
    "https://0x7f.0.0.1/",
    "https://0x7f000001/",
    "https://2130706433/",
    "https://017700000001/",
    "https://127.0.0.1./",
    "https://0.0.0.0/",
    "https://0/",
    "https://10.1.2.3/",
    "https://172.16.0.1/",
    "https://192.168.1.1/",
    "https://100.64.0.1/",  # carrier-grade NAT
    "https://169.254.169.254/latest/meta-data/",
    "https://[::1]/",
    "https://[::]/",
    "https://[::ffff:127.0.0.1]/",
    "https://[::ffff:7f00:1]/",
    "https://[::127.0.0.1]/",  # the old, compatible form
    "https://[64:ff9b::7f00:1]/",  # NAT64 of 127.0.0.1
    "https://[64:ff9b:1::1]/",
    "https://[2002:7f00:1::]/",  # 6to4 of 127.0.0.1
    "https://[fe80::1]/",
    "https://[fe80::1%25eth0]/",
    "https://[fc00::1]/",
    "https://[fec0::1]/",
    "https://[ff02::1]/",
    "https://[fd00:ec2::254]/",
    "https://224.0.0.1/",
    "https://255.255.255.255/",
    "https://240.0.0.1/",
    "https://localhost/",
    "https://LOCALHOST./",
    "https://a.localhost/",
    "https://printer.local/",
    "https://metadata.google.internal/",
    "https://redis/",
    "http://crm.example/",
    "https://crm.example:22/",
    "https://crm.example:6379/",
    "https://crm.example@127.0.0.1/",
    "https://user:pass@crm.example/",
    "https://@crm.example/",
    "https://crm.example\\@127.0.0.1/",
    "https://127。0。0。1/",  # full-width stops
    "https://１２７.0.0.1/",
    "https://①②⑦.⓪.⓪.①/",
    "https://%31%32%37.0.0.1/",
    "https://crm.example%2f@127.0.0.1/",
    "https://crm.exa mple/",
    "https://crm.example\t.evil/",
    "file:///etc/passwd",
    "gopher://127.0.0.1:6379/_FLUSHALL",
    "//crm.example/",
    "https:///hooks",
    "https://",
    "https://[::1",
    "https://crm.example:99999/",
    "",
    "https://crm.example/" + "a" * 3_000,
]
TAKEN = [
    "https://crm.example/hooks?tenant=1",
    "https://crm.example:443/hooks",
    "https://crm.example:8443/",
    "https://CRM.Example./",
    "https://8.8.8.8/",
    "https://[2606:4700::1111]/",
    "https://[64:ff9b::808:808]/",
    "https://xn--fiqs8s.example/",
    "https://my_crm.example/",
]


@pytest.mark.parametrize("url", REFUSED)
def test_a_url_that_leads_inside_is_refused(url: str) -> None:
    assert refusal(url, private=False)


@pytest.mark.parametrize("url", TAKEN)
def test_a_public_url_is_taken(url: str) -> None:
    assert refusal(url, private=False) is None


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:5000/", "http://crm:8080/", "http://10.0.0.7/", "http://[::1]:80/"]
)
def test_a_private_endpoint_may_be_on_this_network(url: str) -> None:
    assert refusal(url, private=True) is None


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/",
        "http://[::ffff:169.254.169.254]/",
        "http://[fe80::1]/",
        "http://user@127.0.0.1/",
        "ftp://127.0.0.1/",
    ],
)
def test_a_private_endpoint_is_never_the_metadata_service(url: str) -> None:
    assert refusal(url, private=True)


def test_private_reaches_this_machine_but_not_link_local() -> None:
    assert may_reach(ip_address("127.0.0.1"), private=True)
    assert not may_reach(ip_address("127.0.0.1"), private=False)
    assert not may_reach(ip_address("169.254.1.1"), private=True)


class _Names(AbstractResolver):
    """Answers each look-up with the next of some lists of addresses; the last one stays."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)
        self.asked = 0

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        addresses = self.answers[min(self.asked, len(self.answers) - 1)]
        self.asked += 1
        return [
            ResolveResult(hostname=host, host=a, port=port, family=socket.AF_INET, proto=0, flags=0)
            for a in addresses
        ]

    async def close(self) -> None:
        pass


def sent(url: str, names: _Names, *, private: bool = False) -> tuple[int, str, bool]:
    async def scenario() -> tuple[int, str, bool]:
        sender = HttpSender(names)
        try:
            reply = await sender.send(Request(url, {}, b"{}", private, 1.0))
            return reply.status, reply.error, reply.sent
        finally:
            await sender.close()

    return asyncio.run(scenario())


@pytest.mark.parametrize(
    "addresses",
    [["127.0.0.1"], ["8.8.8.8", "127.0.0.1"], ["10.0.0.1"], ["::ffff:127.0.0.1"], ["fe80::1%2"]],
)
def test_a_name_with_one_address_inside_is_not_called(addresses: list[str]) -> None:
    status, error, went_out = sent("https://rebind.example/", _Names(addresses))
    assert (status, went_out) == (0, False)
    assert "leads to a private address" in error


def test_the_address_that_was_checked_is_the_one_that_is_called() -> None:
    # A rebinding name answers what is allowed first; a second look-up would be believed unchecked.
    with receiver() as (desk, url):
        names = _Names(["127.0.0.1"], ["169.254.169.254"])
        there = url.replace("127.0.0.1", "rebind.example")
        assert sent(there, names, private=True)[0] == 401
        assert (desk.attempts, names.asked) == (1, 1)


def test_no_url_of_the_table_reaches_a_server_on_this_machine() -> None:
    with receiver() as (desk, canary):
        port = canary.rsplit(":", 1)[1].split("/")[0]
        names = _Names(["127.0.0.1"])
        for url in [*REFUSED, f"https://127.0.0.1:{port}/", f"http://a.example:{port}/"]:
            status, _, went_out = sent(url, names)
            assert (status, went_out) == (0, False), url
        assert desk.attempts == 0


def test_a_redirect_is_not_followed() -> None:
    with receiver() as (desk, url):
        desk.answer = "302"
        names = _Names(["127.0.0.1"])
        assert sent(url, names, private=True) == (302, "", True)
        assert desk.attempts == 1


def test_a_private_name_that_leads_to_the_metadata_service_is_not_called() -> None:
    _, error, went_out = sent("http://crm:80/", _Names(["169.254.169.254"]), private=True)
    assert not went_out
    assert "private address" in error
