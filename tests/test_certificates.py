"""Certificates that can't be used are said in one sentence, and only the latest hosts' are kept."""

import ssl
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
)

from emulator.errors import UsageError
from emulator.interception import certificates
from emulator.interception.certificates import CA_FILE, KEY_FILE, Authority, authority_in, combined, given_context
from emulator.interception.front import is_host_name, plain_reason


def key_bytes(password: bytes) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(password))


def refused(folder: Path) -> str:
    with pytest.raises(UsageError) as caught:
        authority_in(folder)
    return str(caught.value)


def test_an_authority_is_written_once_and_read_again(tmp_path: Path) -> None:
    assert authority_in(tmp_path / "a").pem == authority_in(tmp_path / "a").pem


def test_a_folder_with_an_unreadable_authority_is_refused(tmp_path: Path) -> None:
    authority_in(tmp_path)
    (tmp_path / CA_FILE).write_text("nothing")
    words = refused(tmp_path)
    assert words.startswith(f"{tmp_path}: cannot read {CA_FILE} or {KEY_FILE} (")
    assert words.endswith("). Delete both to create new ones.")


def test_a_folder_with_the_key_of_another_authority_is_refused(tmp_path: Path) -> None:
    authority_in(tmp_path / "a")
    authority_in(tmp_path / "b")
    (tmp_path / "a" / KEY_FILE).write_bytes((tmp_path / "b" / KEY_FILE).read_bytes())
    assert refused(tmp_path / "a") == (
        f"{tmp_path}/a: {CA_FILE} and {KEY_FILE} don't match. Delete both to create new ones."
    )


def test_a_folder_with_an_expired_authority_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(certificates, "FOLDER_LIFETIME", timedelta(hours=-1))
    authority_in(tmp_path)
    assert refused(tmp_path) == (
        f"{tmp_path}/{CA_FILE}: the certificate has expired. Delete the folder to create a new one."
    )


def test_a_folder_without_the_key_is_refused(tmp_path: Path) -> None:
    authority_in(tmp_path)
    (tmp_path / KEY_FILE).unlink()
    assert refused(tmp_path) == (
        f"{tmp_path}/{KEY_FILE}: No such file or directory. --tls needs a writable folder, or one that contains "
        f"{CA_FILE} and {KEY_FILE}."
    )


def test_an_encrypted_key_and_files_that_do_not_match_are_refused(tmp_path: Path) -> None:
    certificate, key = tmp_path / "c.pem", tmp_path / "k.pem"
    certificate.write_bytes(Authority.new().pem)
    key.write_bytes(key_bytes(b"secret"))
    with pytest.raises(UsageError) as caught:
        given_context(str(certificate), str(key))
    assert str(caught.value) == ("--tls-key: the key is encrypted. Decrypt it first: openssl pkey -in KEY -out PLAIN")
    key.write_text("nothing")
    with pytest.raises(UsageError, match=r"they can't be used together \("):
        given_context(str(certificate), str(key))


def test_only_the_latest_hosts_have_their_certificates_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(certificates, "MAX_CONTEXTS", 2)
    authority = Authority.new()
    first, second = authority.context("a"), authority.context("b")
    assert authority.context("a") is first
    authority.context("c")
    assert authority.context("b") is second
    assert authority.context("a") is not first


def test_bundles_are_merged_without_duplicates_and_without_cut_ones() -> None:
    first, second = Authority.new().pem, Authority.new().pem
    assert combined(first + second, second + first[:100], b"no certificate") == first + second


def test_without_files_of_the_system_roots_are_certifi_s_or_none(monkeypatch: pytest.MonkeyPatch) -> None:
    import certifi

    monkeypatch.setattr(Path, "read_bytes", absent := Path.read_bytes)
    real = absent(Path(certifi.where()))
    monkeypatch.setattr(Path, "read_bytes", lambda path: real if str(path) == certifi.where() else b"no certificate")
    assert certificates.system_roots() == real
    monkeypatch.setitem(__import__("sys").modules, "certifi", None)
    monkeypatch.setattr(ssl.SSLContext, "get_ca_certs", lambda *_, **__: [])
    assert certificates.system_roots() == b""


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("TLSV1_ALERT_UNKNOWN_CA", "it does not trust the certificate's authority"),
        ("SSLV3_ALERT_BAD_CERTIFICATE", "it does not accept the certificate"),
        ("SSLV3_ALERT_CERTIFICATE_UNKNOWN", "it does not accept the certificate"),
        ("NO_SHARED_CIPHER", "no shared cipher"),
    ],
)
def test_why_a_client_aborted_a_handshake_is_said_in_words(reason: str, words: str) -> None:
    assert plain_reason(reason) == words


@pytest.mark.parametrize(
    ("name", "can"),
    [("a.host", True), ("127.0.0.1", True), ("::1", True), ("a..b", False), ("é.host", False), ("a" * 64, False)],
)
def test_a_certificate_is_made_only_for_a_name(name: str, can: bool) -> None:
    assert is_host_name(name) is can
