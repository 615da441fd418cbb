"""Attempts come up by their time, expired ones by another clock, each once."""

from random import Random

from engine.delivery.queue import STALE_COUNT_MIN, Queue, Ticket

A, B = Ticket(0, "a"), Ticket(1, "b")


def test_tickets_come_out_in_the_order_of_their_time() -> None:
    queue = Queue()
    queue.push(A, 20, 900)
    queue.push(B, 10, 900)
    assert queue.pop_due(9) is None
    assert queue.next_due() == 10
    assert [queue.pop_due(20), queue.pop_due(20), queue.pop_due(20)] == [B, A, None]


def test_a_moved_ticket_comes_out_once_at_its_new_time() -> None:
    queue = Queue()
    queue.push(A, 10, 900)
    queue.push(A, 30, 900)
    assert len(queue) == 1
    assert queue.pop_due(29) is None
    assert queue.pop_due(30) == A
    assert queue.pop_due(99) is None


def test_an_expired_ticket_comes_out_before_it_is_due() -> None:
    queue = Queue()
    queue.push(A, 1_000, 50)
    assert queue.pop_expired(50) is None  # at that very time it is still good
    assert queue.pop_expired(51) == A
    assert queue.pop_due(1_000) is None
    assert queue.pop_expired(99) is None


def test_a_ticket_that_was_due_does_not_expire_later() -> None:
    queue = Queue()
    queue.push(A, 10, 50)
    assert queue.pop_due(10) == A
    assert queue.pop_expired(99) is None


def test_a_partition_that_was_given_up_is_forgotten() -> None:
    queue = Queue()
    queue.push(A, 10, 50)
    queue.push(B, 10, 50)
    queue.remove_partition(0)
    assert [queue.pop_due(99), queue.pop_due(99)] == [B, None]


def test_moved_tickets_leave_no_pile_behind() -> None:
    queue = Queue()
    for due in range(20_000):
        queue.push(A, due, 10**6 + due)
    assert len(queue._by_due) <= STALE_COUNT_MIN + 1
    assert len(queue._by_expiry) <= STALE_COUNT_MIN + 1
    assert queue.pop_due(10**6) == A


def test_against_a_plain_dict() -> None:
    random, queue, plain = Random(11), Queue(), {}
    for step in range(5_000):
        ticket = Ticket(random.randrange(3), str(random.randrange(40)))
        if random.random() < 0.6:
            due, until = random.randrange(1_000), random.randrange(1_000)
            queue.push(ticket, due, until)
            plain[ticket] = (due, until)
            continue
        now = random.randrange(1_000)
        if step % 2:
            ready = [(until, t) for t, (_, until) in plain.items() if until < now]
            found = queue.pop_expired(now)
        else:
            ready = [(due, t) for t, (due, _) in plain.items() if due <= now]
            found = queue.pop_due(now)
        assert found == (min(ready)[1] if ready else None)
        if found is not None:
            del plain[found]
        assert len(queue) == len(plain)
