"""Where the addresses of a fleet come from, and when they are looked up again."""

from __future__ import annotations

import os
import pickle
import re
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from execbox import AsyncClient, Client, ClientConfig, ConfigError
from execbox._addresses import Addresses, NodeSource, parsed_addresses, read_addresses
from execbox._dns_name import DnsName
from execbox._fleet.address_book import AddressBook
from execbox.config import config_from_env
from tests.client.fleet_clients import doubled
from tests.client.fleet_node import FleetNode

A, B = "http://a:8080", "http://b:8080"


def named() -> list[str]:
    """A callable that pickle can name."""
    return [A, B]


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        (A, A),
        (f"{A},{B}", (A, B)),
        (f" {A} , {B}, ", (A, B)),
        (f"{A},", A),
        (f"{A},{A}/", A),
        ([A], A),
        ([A, B, A], (A, B)),
        ((A, B), (A, B)),
        ("@nodes.txt", Path("nodes.txt")),
        (Path("nodes.txt"), Path("nodes.txt")),
        (named, named),
        (" dns:execbox:8080 ", DnsName("execbox", 8080)),
        ("dns:execbox.apps.svc:80", DnsName("execbox.apps.svc", 80)),
    ],
)
def test_parsed_addresses_tell_one_service_from_a_fleet(
    given: Addresses, meant: str | NodeSource
) -> None:
    """One address that cannot become several is one service, in whatever form it is given."""
    assert parsed_addresses(given) == meant


@pytest.mark.parametrize("given", ["", " ", ",", "@", "@ ", [], [""], 17, [17], {A: B}, b"x"])
@pytest.mark.parametrize("client", [Client, AsyncClient])
def test_addresses_that_name_nothing_are_refused_by_the_setting(
    client: type[Client] | type[AsyncClient], given: Addresses
) -> None:
    """Before anything is sent."""
    with pytest.raises(ConfigError, match="EXECBOX_URL"):
        client(given)


@pytest.mark.parametrize(
    "addresses",
    [
        ("http://a:8080", "http://a:8080/v1"),
        ("http://a:8080/v1/", "http://a:8080/"),
        ("http://a:8080", "HTTP://A:8080"),
        ("http://a", "http://a:80/"),
        ("https://a/x", "https://a:443/x/v1"),
        ("http://[fd00::1]:8080", "http://[FD00:0::1]:8080"),
    ],
)
def test_one_service_that_is_written_in_two_ways_is_one_node(addresses: tuple[str, str]) -> None:
    """It would get twice its share: the first way is taken."""
    assert parsed_addresses(addresses) == addresses[0]
    assert read_addresses(addresses) == addresses[:1]
    assert read_addresses(lambda: addresses) == addresses[:1]


@pytest.mark.parametrize(
    "addresses",
    [
        ("http://a:8080", "http://a:8081"),
        ("http://a:443", "https://a:443"),
        ("http://a", "http://a/x"),
        ("http://a/x", "http://a/X"),
        ("http://a/v1", "http://a/v1/v1"),
    ],
)
def test_services_that_differ_are_two_nodes(addresses: tuple[str, str]) -> None:
    """By port, scheme or path."""
    assert read_addresses(addresses) == addresses


@pytest.mark.parametrize(
    "given",
    ["dns:", "dns:a", "dns:a:", "dns::80", "dns:a:0", "dns:a:65536", "dns:a:1,b:1", "dns:a:1/x"],
)
def test_name_that_is_not_of_its_form_is_refused_with_it(given: str) -> None:
    """Before anything is looked up."""
    with pytest.raises(ConfigError, match="it must be dns:NAME:PORT"):
        parsed_addresses(given)


@pytest.mark.parametrize("text", ["dns:a..b:80", "dns:.svc:80", f"dns:{'a' * 64}.b:80"])
def test_name_that_no_host_can_have_is_refused(text: str) -> None:
    """Before it is looked up, which would raise an error of the codec."""
    with pytest.raises(ConfigError, match="which no name has"):
        parsed_addresses(text)


@pytest.mark.parametrize(
    ("found", "addresses"),
    [
        (
            ["10.0.0.2", "10.0.0.1", "10.0.0.2", "fd00::1"],
            ("http://10.0.0.1:8080", "http://10.0.0.2:8080", "http://[fd00::1]:8080"),
        ),
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), ()),
        (socket.gaierror(socket.EAI_NODATA, "No address associated with hostname"), ()),
    ],
)
def test_name_gives_every_address_that_it_has_now(
    monkeypatch: pytest.MonkeyPatch, found: list[str] | OSError, addresses: tuple[str, ...]
) -> None:
    """Each once, one of IPv6 in brackets; a name that has none names none."""

    def resolved(host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        assert (host, port) == ("execbox", 8080)
        if isinstance(found, OSError):
            raise found
        return [(None, None, None, "", (address, port)) for address in found]

    monkeypatch.setattr(socket, "getaddrinfo", resolved)
    source = parsed_addresses("dns:execbox:8080")
    assert not isinstance(source, str)
    assert read_addresses(source) == addresses
    assert pickle.loads(pickle.dumps(source)) == source


def test_name_whose_lookup_fails_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A resolver that does not answer says nothing of the name."""

    def fails(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", fails)
    with pytest.raises(ConfigError, match="the name execbox failed: gaierror"):
        read_addresses(DnsName("execbox", 8080))


def test_client_of_a_name_asks_the_nodes_that_it_resolves_to() -> None:
    """Of this machine's own name for itself, on which one node serves."""
    with FleetNode() as node, Client(f"dns:localhost:{node.port}") as client:
        assert doubled(client) == 42
        assert node.url in {report.address for report in client.nodes()}


def test_address_of_a_list_that_cannot_be_used_is_named() -> None:
    """It and no other."""
    with pytest.raises(ConfigError, match=re.escape("'b:8080' cannot be used: it must begin")):
        Client(f"{A},b:8080")


def test_config_from_env_names_a_fleet(monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable takes what the argument takes, and the argument wins."""
    monkeypatch.setenv("EXECBOX_URL", f"{A},{B}")
    monkeypatch.setenv("EXECBOX_MIXED_NODES", "allow")
    assert config_from_env().nodes == (A, B)
    assert config_from_env().mixed_nodes == "allow"
    assert config_from_env("@x").nodes == Path("x")
    assert config_from_env(A) == ClientConfig(base_url=A, mixed_nodes="allow")
    assert config_from_env(mixed_nodes="refuse").mixed_nodes == "refuse"


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (lambda: ClientConfig(nodes=()), "at least one address"),
        (lambda: ClientConfig(nodes=("ftp://a",)), "an address of nodes"),
        (lambda: ClientConfig(nodes=cast(Any, "http://a")), "nodes must be a tuple"),
        (lambda: ClientConfig(nodes=cast(Any, (A, 17))), "must be text"),
        (lambda: ClientConfig(mixed_nodes=cast(Any, "yes")), "EXECBOX_MIXED_NODES"),
        (lambda: Client(A, config=ClientConfig()), "not both"),
        (lambda: Client(mixed_nodes="allow", config=ClientConfig()), "not both"),
    ],
)
def test_config_of_a_fleet_that_cannot_work_is_refused(
    config: Callable[[], object], said: str
) -> None:
    """With what it must be."""
    with pytest.raises(ConfigError, match=said):
        config()


def test_client_of_a_callable_can_be_pickled() -> None:
    """Where pickle can name the callable; a process pool's workers then ask it themselves."""
    with Client(named, api_key="k") as client, pickle.loads(pickle.dumps(client)) as copy:
        assert copy.config == client.config


def test_read_addresses_of_a_file_passes_over_comments_and_empty_lines(tmp_path: Path) -> None:
    """And gives each address once, in its order."""
    path = tmp_path / "nodes.txt"
    path.write_text(f"# the fleet\n\n{B}  # the large one\r\n {A}\n{A}\n")
    assert read_addresses(path) == (B, A)


def fails() -> list[str]:
    raise ValueError("no cluster")


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (fails, "the callable fails, which returns the addresses, failed: ValueError: no cluster"),
        (lambda: 17, "failed: TypeError"),
        (lambda: [17], "must be text, not 17"),
        (lambda: ["a:1"], "'a:1' cannot be used"),
    ],
)
def test_read_addresses_of_a_callable_that_fails_names_it(source: NodeSource, said: str) -> None:
    """It is the caller's code."""
    with pytest.raises(ConfigError, match=re.escape(said)):
        read_addresses(source)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot be read: No such file"),
        (b"\xff\xfe", "is not UTF-8"),
        (b"a:8080\n", "'a:8080' cannot be used"),
        (b"#" * 2**21, "is it one?"),
    ],
)
def test_read_addresses_of_a_file_that_is_none_names_it(
    tmp_path: Path, content: bytes | None, said: str
) -> None:
    """With what is wrong."""
    path = tmp_path / "nodes.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=re.escape(said)) as caught:
        read_addresses(path)
    assert str(path) in caught.value.message


def test_address_book_reads_a_file_again_when_it_has_changed(tmp_path: Path) -> None:
    """And keeps what it knew while the file is missing, or holds what is no address."""
    path = tmp_path / "nodes.txt"
    path.write_text(A)
    book = AddressBook(path)
    assert book.read() == (A,)
    other = tmp_path / "new"
    other.write_text(f"{A}\n{B}\n")
    os.replace(other, path)
    assert book.read() == (A, B)
    path.write_text("half of an addr")
    assert book.read() == (A, B)
    path.unlink()
    assert book.read() == (A, B)
    path.write_text(f"{B}\n")
    assert book.read() == (B,)


def test_address_book_keeps_what_it_knew_while_none_is_named(tmp_path: Path) -> None:
    """A file that is being written anew, or a registry that has been started again."""
    path = tmp_path / "nodes.txt"
    path.write_text("# none yet\n")
    book = AddressBook(path)
    assert book.read() == ()
    path.write_text(A)
    assert book.read() == (A,)
    path.write_text("")
    assert book.read() == (A,)
    path.write_text(f"{A}\n{B}\n")
    assert book.read() == (A, B)
    found: list[list[str]] = [[], [A], [], [B]]
    asked = AddressBook(lambda: found.pop(0))
    assert [asked.read() for _ in range(4)] == [(), (A,), (A,), (B,)]


def test_address_book_says_once_what_keeps_it_from_new_addresses(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A typing error in one line keeps all of the file from being used."""
    path = tmp_path / "nodes.txt"
    path.write_text(A)
    book = AddressBook(path)
    book.read()
    path.write_text(f"{A}\nhtp://b:8080\n")
    assert [book.read() for _ in range(3)] == [(A,)] * 3
    (said,) = caplog.messages
    assert "'htp://b:8080' cannot be used" in said
    assert book.trouble is not None
    assert book.trouble in said
    path.write_text(f"{A}\n{B}\n")
    assert book.read() == (A, B)
    assert book.trouble is None
    path.write_text("#")
    assert book.read() == (A, B)
    assert "names no address" in caplog.messages[1]


def test_address_book_whose_file_is_put_back_has_no_trouble(tmp_path: Path) -> None:
    """It is as it was read, and need not be read again."""
    path, kept = tmp_path / "nodes.txt", tmp_path / "kept"
    path.write_text(A)
    book = AddressBook(path)
    book.read()
    path.rename(kept)
    assert book.read() == (A,)
    assert book.trouble is not None
    kept.rename(path)
    assert book.read() == (A,)
    assert book.trouble is None


def test_address_book_that_never_knew_any_tells_what_is_wrong(tmp_path: Path) -> None:
    """Also where the file named none before."""
    path = tmp_path / "nodes.txt"
    path.write_text("")
    book = AddressBook(path)
    assert book.read() == ()
    path.unlink()
    with pytest.raises(ConfigError, match="cannot be read"):
        book.read()


@pytest.mark.parametrize(
    ("source", "due_s"),
    [((A, B), []), (Path("nodes.txt"), [11, 12, 13]), (named, [15])],
)
def test_address_book_is_due_in_steps(source: NodeSource, due_s: list[int]) -> None:
    """A file every second, a callable every five, a list never again."""
    book = AddressBook(source)
    assert book.due(10.0, urgent=False)
    assert [now for now in range(11, 20) if book.due(float(now), urgent=False)][:3] == due_s


def test_address_book_is_due_sooner_while_no_node_can_take_a_request() -> None:
    """As often as every half second."""
    book = AddressBook(named)
    assert book.due(10.0, urgent=True)
    asked = [tenth / 10 for tenth in range(100, 116) if book.due(tenth / 10, urgent=True)]
    assert asked == [10.5, 11.0, 11.5]


def test_several_addresses_in_the_place_of_one_are_told_where_they_go() -> None:
    """A configuration's ``base_url`` is one service's."""
    with pytest.raises(ConfigError, match=re.escape("ClientConfig(nodes=...)")):
        ClientConfig(base_url=f"{A},{B}")
