"""Who may ask: TLS, client certificates, tokens with scopes, and what one peer may keep open."""

from __future__ import annotations

import logging
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from firstedge.graph.errors import ServiceError, SettingsError
from firstedge.models.bundle_file import save_bundle
from firstedge.serving.calls import RecordedEvent
from firstedge.serving.client import Client, ClientOptions
from firstedge.serving.options import ServiceOptions
from firstedge.serving.query import Event, Query
from firstedge.serving.security import ClientTls, ServerTls, Tokens
from firstedge.serving.v1 import recommender_pb2 as pb
from firstedge.serving.v1 import recommender_pb2_grpc as pb_grpc
from tests.graph.test_neo4j_tls import make_certificates, openssl
from tests.serving.places import BUNDLE
from tests.serving.servers import running, wait_for
from tests.serving.stores import write_store

READ, WRITE, ADMIN = "r" * 32, "w" * 32, "a" * 32
TOKENS = f"""
[shop]
token = "{READ}"
scopes = ["read"]
[events]
token = "{WRITE}"
scopes = ["write"]
[ops]
token = "{ADMIN}"
scopes = ["admin"]
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("secure")
    save_bundle(BUNDLE, folder / "bundle")
    write_store(folder / "shop.lbug", BUNDLE)
    (folder / "tokens.toml").write_text(TOKENS)
    return folder


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("openssl") is None:
        pytest.skip("there is no openssl to make certificates with")
    folder = tmp_path_factory.mktemp("certificates")
    make_certificates(folder)
    new = ("-newkey", "rsa:2048", "-nodes", "-subj", "/CN=backend")
    openssl(folder, "req", *new, "-keyout", "client.key", "-out", "client.csr")
    signed = ("-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2")
    openssl(folder, "x509", "-req", *signed, "-in", "client.csr", "-out", "client.crt")
    return folder


def server_tls(folder: Path, client_ca: bool = False) -> ServerTls:
    ca = folder / "ca.crt" if client_ca else None
    return ServerTls(folder / "public.crt", folder / "private.key", ca)


def asked(address: str, **options: Any) -> int:
    """How many items an answer has, asked for at the name of the certificate."""
    target = address.replace("127.0.0.1", "localhost")
    with Client(target, ClientOptions(timeout=10, attempts=1, **options)) as client:
        return len(client.recommend(k=3))


def test_tls_encrypts_and_shows_who_answers(home: Path, certificates: Path, tmp_path: Path) -> None:
    make_certificates(tmp_path)  # another authority
    options = ServiceOptions(home / "bundle", port=0, tls=server_tls(certificates))
    with running(options) as (address, _):
        assert asked(address, tls=ClientTls(certificates / "ca.crt")) == 3
        with pytest.raises(ServiceError, match="UNAVAILABLE"):
            asked(address)
        with pytest.raises(ServiceError, match="UNAVAILABLE"):
            asked(address, tls=ClientTls(tmp_path / "ca.crt"))


def test_clients_show_certificates_where_they_must(home: Path, certificates: Path) -> None:
    tls = server_tls(certificates, client_ca=True)
    ca, own = certificates / "ca.crt", (certificates / "client.crt", certificates / "client.key")
    with running(ServiceOptions(home / "bundle", port=0, tls=tls)) as (address, _):
        assert asked(address, tls=ClientTls(ca, *own)) == 3
        with pytest.raises(ServiceError, match="UNAVAILABLE"):
            asked(address, tls=ClientTls(ca))


def test_a_renewed_certificate_is_shown_without_a_restart(home: Path, tmp_path: Path) -> None:
    make_certificates(tmp_path)
    options = ServiceOptions(home / "bundle", port=0, tls=server_tls(tmp_path))
    with running(options) as (address, _):
        assert asked(address, tls=ClientTls(tmp_path / "ca.crt")) == 3
        old = (tmp_path / "ca.crt").rename(tmp_path / "old.crt")
        make_certificates(tmp_path)
        assert asked(address, tls=ClientTls(tmp_path / "ca.crt")) == 3
        with pytest.raises(ServiceError, match="UNAVAILABLE"):
            asked(address, tls=ClientTls(old))
        (tmp_path / "public.crt").unlink()  # then the last one that was whole stays
        assert asked(address, tls=ClientTls(tmp_path / "ca.crt")) == 3


def test_an_open_address_needs_tls_and_a_way_to_tell_who_asks(tmp_path: Path) -> None:
    tls = ServerTls(tmp_path / "a", tmp_path / "b")
    both = ServerTls(tmp_path / "a", tmp_path / "b", tmp_path / "c")
    for unsafe, text in (
        ({}, "no TLS"),
        ({"tokens": tmp_path}, "no TLS"),
        ({"tls": tls}, "no authentication"),
    ):
        with pytest.raises(SettingsError, match=text):
            ServiceOptions(tmp_path, host="0.0.0.0", **unsafe)  # noqa: S104
        assert ServiceOptions(tmp_path, host="0.0.0.0", insecure=True, **unsafe).insecure  # noqa: S104
    for safe in ({"tls": tls, "tokens": tmp_path}, {"tls": both}):
        assert not ServiceOptions(tmp_path, host="0.0.0.0", **safe).insecure  # noqa: S104


@pytest.fixture(scope="module")
def guarded(home: Path) -> Iterator[str]:
    options = ServiceOptions(
        home / "bundle", str(home / "shop.lbug"), port=0, tokens=home / "tokens.toml"
    )
    with running(options) as (address, _):
        yield address


def status(call: Any, token: str | None) -> str:
    """The code in which a call ends."""
    metadata = () if token is None else (("authorization", token),)
    try:
        answer = call(metadata)
        if hasattr(answer, "__next__"):
            list(answer)
    except grpc.RpcError as error:
        return str(error.code().name)
    return "OK"


def test_a_token_opens_what_its_scopes_say(guarded: str) -> None:
    with grpc.insecure_channel(guarded) as channel:
        stub: Any = pb_grpc.RecommenderStub(channel)
        reflection = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo
        listed = reflection_pb2.ServerReflectionRequest(list_services="")
        calls = {
            "read": [
                lambda m: stub.Recommend(pb.RecommendRequest(), metadata=m),
                lambda m: stub.Info(pb.InfoRequest(), metadata=m),
                lambda m: stub.EmbedUsers(iter([pb.EmbedUsersRequest()]), metadata=m),
            ],
            "write": [
                lambda m: stub.RecordEvents(iter([pb.RecordEventsRequest()]), metadata=m),
                lambda m: stub.UpsertItems(pb.UpsertItemsRequest(), metadata=m),
            ],
            "admin": [lambda m: reflection(iter([listed]), metadata=m)],
        }
        opens = {READ: {"read"}, WRITE: {"write"}, ADMIN: {"read", "write", "admin"}}
        for scope, some in calls.items():
            for call in some:
                for token, scopes in opens.items():
                    expected = "OK" if scope in scopes else "PERMISSION_DENIED"
                    assert status(call, f"Bearer {token}") == expected
                for wrong in (None, "", "Bearer", f"Basic {ADMIN}", f"Bearer {ADMIN[:-1]}", ADMIN):
                    assert status(call, wrong) == "UNAUTHENTICATED"
        health = health_pb2_grpc.HealthStub(channel)
        assert health.Check(health_pb2.HealthCheckRequest()).status == 1


def test_two_tokens_are_none(guarded: str) -> None:
    with grpc.insecure_channel(guarded) as channel:
        stub: Any = pb_grpc.RecommenderStub(channel)
        both = (("authorization", "Bearer x"), ("authorization", f"Bearer {ADMIN}"))
        with pytest.raises(grpc.RpcError) as caught:
            stub.Info(pb.InfoRequest(), metadata=both)
        assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED


def test_the_client_shows_its_token_and_keeps_it_to_itself(guarded: str) -> None:
    options = ClientOptions(token=READ)
    with Client(guarded, options) as client:
        assert len(client.recommend(k=3)) == 3
        with pytest.raises(ServiceError, match="PERMISSION_DENIED: this method needs a token with"):
            client.record_events([RecordedEvent("u01", Event("i001"))])
    assert READ not in repr(options)
    with pytest.raises(SettingsError, match=r"would go to shop\.example:50051 unencrypted"):
        Client("shop.example:50051", options)
    Client("shop.example:50051", ClientOptions(token=READ, insecure=True)).close()


def test_tokens_are_read_again(home: Path, tmp_path: Path, caplog: Any) -> None:
    caplog.set_level(logging.INFO)
    file = tmp_path / "tokens.toml"
    file.write_text(TOKENS)
    options = ServiceOptions(home / "bundle", port=0, tokens=file, watch_seconds=0.02)
    with running(options) as (address, _), Client(address, ClientOptions(token=READ)) as old:
        assert old.info()["num_items"] == 30
        file.write_text("[broken")
        wait_for(lambda: "tokens stay as they were" in caplog.text)
        assert old.info()["num_items"] == 30
        file.write_text(TOKENS.replace(READ, "n" * 32))
        wait_for(lambda: "tokens: 3" in caplog.text)
        with pytest.raises(ServiceError, match="UNAUTHENTICATED: send a valid token"):
            old.info()
        with Client(address, ClientOptions(token="n" * 32)) as new:
            assert new.info()["num_items"] == 30
    assert not any(token in caplog.text for token in (READ, WRITE, ADMIN))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[a]\ntoken = 'x'\nscopes = ['read']", "at least 16 ASCII characters"),
        (f"[a]\ntoken = '{READ}'\nscopes = []", "scopes of \\[a\\] are some of read, write, admin"),
        (f"[a]\ntoken = '{READ}'\nscopes = ['reed']", "are some of read"),
        (f"[a]\ntoken = '{READ}'", "has a token and scopes, and nothing else"),
        (f"token = '{READ}'", "has a token and scopes"),
        (TOKENS.replace(WRITE, READ), "two names have one token"),
        ("[a", "tokens.toml: "),
    ],
)
def test_a_file_of_tokens_that_cannot_be_is_refused(
    tmp_path: Path, text: str, problem: str
) -> None:
    file = tmp_path / "tokens.toml"
    file.write_text(text)
    with pytest.raises(SettingsError, match=problem) as caught:
        Tokens(file)
    assert READ not in str(caught.value)
    with pytest.raises(SettingsError, match="cannot read"):
        Tokens(tmp_path / "none")


def test_a_peer_keeps_a_few_streams_open_and_none_in_silence(
    home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    options = ServiceOptions(home / "bundle", port=0, peer_streams=2, idle_seconds=1.0)
    release = threading.Event()

    def silent() -> Iterator[pb.EmbedUsersRequest]:
        yield pb.EmbedUsersRequest(users=[pb.User()])
        release.wait(20)

    with running(options) as (address, _), grpc.insecure_channel(address) as channel:
        stub: Any = pb_grpc.RecommenderStub(channel)
        open_ones = [stub.EmbedUsers(silent()) for _ in range(2)]
        for stream in open_ones:
            assert len(next(stream).vectors) == 1
        with pytest.raises(grpc.RpcError) as caught:
            next(stub.EmbedUsers(silent()))
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "up to 2 streams" in caught.value.details()
        assert len(stub.Recommend(pb.RecommendRequest(k=3)).ranking.items) == 3
        began = time.monotonic()
        for stream in open_ones:
            with pytest.raises(grpc.RpcError) as caught:
                next(stream)
            assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
            assert "nothing came for 1 seconds" in caught.value.details()
        assert time.monotonic() - began < 10
        release.set()
        assert len(next(stub.EmbedUsers(silent())).vectors) == 1
    assert not [record for record in caplog.records if record.exc_info]


def test_plain_noise_on_the_port_does_no_harm(guarded: str) -> None:
    host, port = guarded.split(":")
    for noise in (b"GET / HTTP/1.1\r\n\r\n", b"\0" * 5_000, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nxx"):
        with socket.create_connection((host, int(port)), timeout=10) as raw:
            raw.sendall(noise)
    with Client(guarded, ClientOptions(token=READ)) as client:
        assert client.recommend(Query([Event("i003")])).num_given == 1
