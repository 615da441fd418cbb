"""Steps one after the other: what is forgotten where more begins than can be remembered."""

import pytest

from tests.turns import Customer, rules_of

CART, CHECKOUT = "cart.updated", "checkout.started"


def started(repeat: str, seconds: list[float]) -> Customer:
    """Return a customer with a cart at each of some seconds, of which a checkout is awaited."""
    text = f"""rule: r
when: [{{event: {CART}}}, {{event: {CHECKOUT}, within: 7s}}]
repeat: {repeat}
do: [{{case: hit}}]
"""
    customer = Customer(rules_of(text))
    for second in seconds:
        customer.tick(second)
        customer.send(CART, second)
    return customer


@pytest.mark.parametrize("repeat", ["restart", "keep-first", "each"])
@pytest.mark.parametrize(
    "seconds",
    [
        [10.0 * n for n in range(30)],  # all but the last are over, but fresh still
        [1.0 * n for n in range(30)],
        [*(0.1 * n for n in range(12)), 8.0],  # more are ignored than can be remembered
    ],
)
def test_the_newest_start_that_counts_is_not_forgotten(repeat: str, seconds: list[float]) -> None:
    customer = started(repeat, seconds)
    customer.send(CHECKOUT, seconds[-1] + 1)
    assert customer.fired[:1] == [(seconds[-1] + 1, "hit")]
