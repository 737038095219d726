"""Admission by address and token, without a server."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from smart_colab_executor.core.errors import AddressNotAllowed, TooManyFailures, Unauthorized
from smart_colab_executor.guard import admission as module
from smart_colab_executor.guard.admission import Admission, parse_networks
from smart_colab_executor.guard.token import Token
from smart_colab_executor.http.problems import problem

RIGHT, WRONG = "Bearer right", "Bearer wrong"


def named(**headers: str) -> Callable[[str], str | None]:
    """Return a lookup of headers, named with `_` for `-`."""
    return lambda name: headers.get(name.replace("-", "_"))


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


class Door:
    """An admission with a clock that the test controls."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.admission = Admission(Token("right"), clock=self.clock)

    def knock(self, address: str, authorization: str | None) -> int:
        """Return 200, 401, or the negative number of seconds to wait."""
        try:
            self.admission.check_token(self.admission.sender(address, named()), authorization)
        except Unauthorized:
            return 401
        except TooManyFailures as error:
            return -(error.retry_after_sec or 0)
        return 200


@pytest.fixture
def door() -> Door:
    return Door()


class TestFailures:
    def test_ten_wrong_tokens_are_unauthorized_and_more_are_throttled(self, door: Door) -> None:
        assert [door.knock("192.0.2.1", WRONG) for _ in range(12)] == [401] * 10 + [-2] * 2

    @pytest.mark.parametrize("address", ["192.0.2.1", "2001:db8:1:2::1", "127.0.0.1", ""])
    def test_the_right_token_passes_at_once_from_a_throttled_address(self, door: Door, address: str) -> None:
        for _ in range(100):
            door.knock(address, WRONG)
            assert door.knock(address, RIGHT) == 200
        assert door.knock(address, "bearer  right ") == 200
        assert [door.knock(address, token) for token in (WRONG, "Basic right", "Bearer righ")] == [-2] * 3

    def test_one_attempt_is_restored_every_two_seconds(self, door: Door) -> None:
        for _ in range(10):
            door.knock("192.0.2.1", WRONG)
        door.clock.now += 1.9
        assert door.knock("192.0.2.1", WRONG) == -1
        door.clock.now += 0.1
        assert [door.knock("192.0.2.1", RIGHT) for _ in range(50)] == [200] * 50
        assert [door.knock("192.0.2.1", WRONG) for _ in range(2)] == [401, -2]
        door.clock.now += 4
        assert [door.knock("192.0.2.1", WRONG) for _ in range(3)] == [401, 401, -2]
        door.clock.now += 1_000_000
        assert [door.knock("192.0.2.1", WRONG) for _ in range(11)] == [401] * 10 + [-2]

    def test_a_wrong_token_is_unauthorized_again_after_the_stated_wait(self, door: Door) -> None:
        door.clock.now = 12345.678
        while (wait := door.knock("192.0.2.1", WRONG)) == 401:
            door.clock.now += 0.123
        door.clock.now -= wait
        assert door.knock("192.0.2.1", WRONG) == 401

    @pytest.mark.parametrize("authorization", [None, "", "Bearer", "Bearer ", "right"])
    def test_a_request_without_a_token_is_not_counted(self, door: Door, authorization: str | None) -> None:
        assert [door.knock("192.0.2.1", authorization) for _ in range(50)] == [401] * 50
        assert door.knock("192.0.2.1", RIGHT) == 200
        for _ in range(10):
            door.knock("192.0.2.1", WRONG)
        assert door.knock("192.0.2.1", authorization) == 401

    @pytest.mark.parametrize(
        ("one", "other", "is_same"),
        [
            ("192.0.2.1", "192.0.2.2", False),
            ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),
            ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
            ("::ffff:192.0.2.1", "192.0.2.1", True),
            ("::1", "127.0.0.1", False),
            ("fe80::1%eth0", "fe80::2%eth1", True),
        ],
    )
    def test_failures_are_counted_per_address_and_per_ipv6_network(
        self, door: Door, one: str, other: str, is_same: bool
    ) -> None:
        for _ in range(10):
            door.knock(one, WRONG)
        assert door.knock(other, WRONG) == (-2 if is_same else 401)

    def test_concurrent_guesses_get_no_more_than_ten_attempts(self, door: Door) -> None:
        with ThreadPoolExecutor(32) as pool:
            answers = list(pool.map(lambda _: door.knock("192.0.2.1", WRONG), range(500)))
        assert answers.count(401) == 10

    def test_failures_of_many_addresses_use_bounded_memory(self, door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "MAX_ADDRESSES", 100)
        door.knock("192.0.2.1", WRONG)
        for number in range(99):
            door.knock(f"198.51.100.{number}", WRONG)
        for _ in range(9):
            door.knock("192.0.2.1", WRONG)
        for number in range(99):
            door.knock(f"198.51.100.{100 + number}", WRONG)
        assert door.knock("192.0.2.1", WRONG) == -2  # the latest failures are evicted last
        for number in range(200):
            door.knock(f"203.0.113.{number}", WRONG)
        assert len(door.admission._failures._settled) == 100
        assert door.knock("192.0.2.1", WRONG) == 401


def passes(allowed: str, behind: str | None, peer: str, **headers: str) -> bool:
    admission = Admission(Token("right"), parse_networks(allowed), behind)
    try:
        admission.check_address(admission.sender(peer, named(**headers)))
    except AddressNotAllowed:
        return False
    return True


class TestAddresses:
    @pytest.mark.parametrize(
        ("allowed", "peer", "is_served"),
        [
            ("", "192.0.2.1", True),
            (" , ", "192.0.2.1", True),
            ("192.0.2.1", "192.0.2.1", True),
            ("192.0.2.1", "192.0.2.2", False),
            ("192.0.2.0/24", "192.0.2.200", True),
            ("10.0.0.0/8,192.0.2.1 2001:db8::/32", "2001:db8:5::1", True),
            ("10.0.0.0/8,192.0.2.1 2001:db8::/32", "2001:db9::1", False),
            ("192.0.2.1", "::ffff:192.0.2.1", True),
            ("192.0.2.1", "127.0.0.1", True),
            ("192.0.2.1", "::1", True),
            ("0.0.0.0/0", "2001:db8::1", False),
            ("192.0.2.1", "", False),
        ],
    )
    def test_only_listed_addresses_and_this_machine_are_served(self, allowed: str, peer: str, is_served: bool) -> None:
        assert passes(allowed, None, peer) is is_served

    @pytest.mark.parametrize("entry", ["nonsense", "192.0.2.256", "192.0.2.1/33", "192.0.2.1/24", "1.2.3.4:80", "::g"])
    def test_a_malformed_network_is_named_in_the_error(self, entry: str) -> None:
        with pytest.raises(ValueError, match=entry):
            parse_networks(f"10.0.0.1, {entry}")


class TestTunnels:
    @pytest.mark.parametrize(("behind", "header"), [("ngrok", "X_Forwarded_For"), ("cloudflare", "CF_Connecting_IP")])
    @pytest.mark.parametrize(
        ("value", "is_served"),
        [
            ("192.0.2.1", True),
            (" 192.0.2.1 ", True),
            ("198.51.100.1", False),
            ("127.0.0.1", False),
            ("::1", False),
            ("", False),
            ("localhost", False),
            ("192.0.2.1:1234", False),
            ("192.0.2.1,", False),
            ("192.0.2.1, nonsense", False),
            ("192.0.2.1, 198.51.100.1", False),
        ],
    )
    def test_the_tunnels_header_gives_the_clients_address(
        self, behind: str, header: str, value: str, is_served: bool
    ) -> None:
        assert passes("192.0.2.1", behind, "127.0.0.1", **{header: value}) is is_served

    def test_only_the_last_address_in_ngroks_header_is_trusted(self) -> None:
        assert passes("192.0.2.1", "ngrok", "127.0.0.1", X_Forwarded_For="198.51.100.1, nonsense, 192.0.2.1")
        assert not passes("192.0.2.1", "ngrok", "127.0.0.1", X_Forwarded_For="192.0.2.1, 198.51.100.1")

    def test_the_other_tunnels_header_is_ignored(self) -> None:
        assert not passes("192.0.2.1", "ngrok", "127.0.0.1", X_Forwarded_For="5.5.5.5", CF_Connecting_IP="192.0.2.1")
        assert not passes(
            "192.0.2.1", "cloudflare", "127.0.0.1", X_Forwarded_For="192.0.2.1", CF_Connecting_IP="5.5.5.5"
        )

    def test_tunnel_headers_are_trusted_only_from_this_machine(self) -> None:
        assert not passes("192.0.2.1", "ngrok", "198.51.100.1", X_Forwarded_For="192.0.2.1")
        assert passes("192.0.2.1", "ngrok", "192.0.2.1", X_Forwarded_For="198.51.100.1")

    def test_tunnel_headers_are_ignored_without_a_tunnel(self) -> None:
        assert passes("192.0.2.1", None, "127.0.0.1", X_Forwarded_For="198.51.100.1", CF_Connecting_IP="198.51.100.1")

    def test_a_local_request_without_the_header_is_this_machines_own(self) -> None:
        assert passes("192.0.2.1", "ngrok", "127.0.0.1")

    def test_requests_without_an_address_share_one_count(self) -> None:
        admission = Admission(Token("right"), behind="ngrok")
        one, other = (named(X_Forwarded_For=value) for value in ("nonsense", "192.0.2.1, ?"))
        for _ in range(10):
            with pytest.raises(Unauthorized):
                admission.check_token(admission.sender("127.0.0.1", one), WRONG)
        with pytest.raises(TooManyFailures):
            admission.check_token(admission.sender("127.0.0.1", other), WRONG)
        with pytest.raises(Unauthorized):
            admission.check_token(admission.sender("127.0.0.1", named()), WRONG)
        assert str(admission.sender("127.0.0.1", one)) == "unknown"


def test_tokens_are_not_printable() -> None:
    admission = Admission(Token("very-secret"))
    with pytest.raises(Unauthorized) as caught:
        admission.check_token(admission.sender("192.0.2.1", named()), "Bearer also-secret")
    assert "secret" not in f"{vars(admission)!r} {caught.value!r} {problem(caught.value)}"
