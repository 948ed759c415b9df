"""What is kept for the next time stays within its bound, whoever asks at the same time."""

from __future__ import annotations

import threading

from firnline.recent import Recent


def test_last_used_are_kept_up_to_their_weight_and_always_the_newest() -> None:
    recent: Recent[str, str] = Recent(10)
    assert recent.put("a", "A", 4) == []
    assert recent.put("b", "B", 4) == []
    assert recent.get("a") == "A"
    assert recent.put("c", "C", 4) == ["B"]
    assert recent.weight == 8
    assert recent.put("c", "C2", 6) == []
    assert (recent.weight, len(recent), recent.is_full) == (10, 2, True)
    assert recent.put("d", "D", 99) == ["A", "C2"]
    assert (recent.get("a"), recent.get("d")) == (None, "D")


def test_dropped_values_leave_no_weight() -> None:
    recent: Recent[tuple[str, int], str] = Recent(10)
    for number in range(5):
        recent.put(("a" if number % 2 else "b", number), str(number), 2)
    recent.drop_where(lambda key: key[0] == "a")
    assert (recent.values(), recent.weight) == (["0", "2", "4"], 6)
    assert (recent.drop(("b", 2)), recent.drop(("b", 2)), recent.weight) == ("2", None, 4)
    recent.clear()
    assert (len(recent), recent.weight) == (0, 0)


def test_what_another_thread_kept_first_is_given_to_all() -> None:
    recent: Recent[str, object] = Recent(4)
    given: list[object] = []
    begin = threading.Barrier(8)

    def keep() -> None:
        begin.wait()
        given.append(recent.put_first("key", object()))

    threads = [threading.Thread(target=keep) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(map(id, given))) == 1
    assert recent.get("key") is given[0]


def test_bound_holds_while_threads_use_and_drop_at_the_same_time() -> None:
    recent: Recent[int, int] = Recent(16)

    def use(first: int) -> None:
        for number in range(first, first + 4_000):
            recent.put(number % 64, number)
            recent.get((number * 7) % 64)
            recent.drop((number * 13) % 64)

    threads = [threading.Thread(target=use, args=(first,)) for first in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(recent) <= 16
    assert recent.weight == len(recent) == len(recent.values())
