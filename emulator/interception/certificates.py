"""Certificates for hosts, from an authority whose key stays in memory or in the user's folder."""

import os
import ssl
import warnings
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import cached_property
from ipaddress import ip_address
from pathlib import Path
from typing import Literal

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
    pkcs12,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from emulator.errors import UsageError

Flaw = Literal["expired", "wrong_host", "unknown_ca"]
"""The deliberate flaws of certificates."""

LIFETIME = timedelta(days=365)
FOLDER_LIFETIME = timedelta(days=3650)
CLOCK_SKEW = timedelta(days=1)
"""How long before now certificates become valid: the client's clock may be slow."""
MAX_CONTEXTS = 512
"""The most hosts whose certificates are kept; the oldest is dropped first."""
STORE_PASSWORD = "changeit"
"""The password that Java expects for a truststore. It protects nothing: the certificates are public."""
CA_FILE, KEY_FILE = "ca.pem", "ca-key.pem"
WRONG_HOST = "another-host.invalid"


class Authority:
    """A certificate authority, and the certificates it has made for hosts."""

    def __init__(self, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> None:
        self._key = key
        self.certificate = certificate
        self._host_key = ec.generate_private_key(ec.SECP256R1())
        self._contexts: dict[tuple[str, Flaw | None], ssl.SSLContext] = {}

    @classmethod
    def new(cls, name: str = "emulator", lifetime: timedelta = LIFETIME) -> "Authority":
        """An authority with a new key, which exists only in memory."""
        key = ec.generate_private_key(ec.SECP256R1())
        return cls(key, _authority_certificate(key, name, lifetime))

    @property
    def pem(self) -> bytes:
        """The authority's certificate, which clients must trust."""
        return self.certificate.public_bytes(Encoding.PEM)

    def context(self, host: str, flaw: Flaw | None = None, others: Iterable[str] = ()) -> ssl.SSLContext:
        """The SSL context for serving TLS as `host` (and `others`): only HTTP/1.1."""
        known = self._contexts.get((host, flaw))
        if known is None:
            if len(self._contexts) >= MAX_CONTEXTS:
                del self._contexts[next(iter(self._contexts))]
            issuer = self._stranger if flaw == "unknown_ca" else self
            names = (WRONG_HOST,) if flaw == "wrong_host" else (host, *others)
            chain = issuer._issue(names, self._host_key.public_key(), is_expired=flaw == "expired")
            known = self._contexts[host, flaw] = _server_context(chain, self._host_key)
        return known

    @cached_property
    def _stranger(self) -> "Authority":
        """An authority that no client trusts."""
        return Authority.new("an authority unknown to the client")

    def _issue(self, names: Iterable[str], key: ec.EllipticCurvePublicKey, *, is_expired: bool) -> bytes:
        """A certificate for host names and addresses, followed by the authority's own, as PEM."""
        now = datetime.now(UTC)
        names = list(dict.fromkeys(names))
        builder = (
            _unsigned(names[0], self.certificate.subject, key)
            .not_valid_before(now - (30 * CLOCK_SKEW if is_expired else CLOCK_SKEW))
            .not_valid_after(now - CLOCK_SKEW if is_expired else min(now + LIFETIME, self._end))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName(list(map(_general_name, names))), critical=False)
            .add_extension(_key_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )
        return builder.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM) + self.pem

    @property
    def _end(self) -> datetime:
        return self.certificate.not_valid_after_utc


def authority_in(folder: Path) -> Authority:
    """The authority in a folder; if there is none, a new one is written there. Raises UsageError."""
    certificate_file, key_file = folder / CA_FILE, folder / KEY_FILE
    try:
        if not certificate_file.exists() and not key_file.exists():
            return _written(folder, Authority.new("emulator (own folder)", FOLDER_LIFETIME))
        certificate = x509.load_pem_x509_certificate(certificate_file.read_bytes())
        key = load_pem_private_key(key_file.read_bytes(), None)
    except OSError as error:
        raise UsageError(
            f"{error.filename or folder}: {error.strerror or error}. --tls needs a writable folder, or one "
            f"that contains {CA_FILE} and {KEY_FILE}."
        ) from None
    except (ValueError, TypeError) as error:
        words = f"{folder}: cannot read {CA_FILE} or {KEY_FILE} ({error})."
        raise UsageError(f"{words} Delete both to create new ones.") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or certificate.public_key() != key.public_key():
        raise UsageError(f"{folder}: {CA_FILE} and {KEY_FILE} don't match. Delete both to create new ones.")
    if certificate.not_valid_after_utc < datetime.now(UTC):
        raise UsageError(f"{certificate_file}: the certificate has expired. Delete the folder to create a new one.")
    return Authority(key, certificate)


def _written(folder: Path, authority: Authority) -> Authority:
    folder.mkdir(parents=True, exist_ok=True)
    key = authority._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with open(os.open(folder / KEY_FILE, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(key)
    (folder / CA_FILE).write_bytes(authority.pem)
    return authority


def given_context(certificate: str, key: str) -> ssl.SSLContext:
    """The SSL context for serving TLS with the user's own certificate and key. Raises UsageError."""
    context = _plain_context()
    try:
        context.load_cert_chain(certificate, key, password=_no_password)
    except OSError as error:  # includes SSLError
        missing = [path for path in (certificate, key) if not Path(path).is_file()]
        reason = f"there is no file {missing[0]}" if missing else f"they can't be used together ({_said(error)})"
        raise UsageError(f"--tls-cert {certificate} and --tls-key {key}: {reason}.") from None
    return context


def _no_password() -> bytes:
    raise UsageError("--tls-key: the key is encrypted. Decrypt it first: openssl pkey -in KEY -out PLAIN")


def _said(error: OSError) -> str:
    return getattr(error, "reason", None) or error.strerror or str(error)


def _plain_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols(["http/1.1"])
    context.options |= ssl.OP_NO_RENEGOTIATION
    return context


def _server_context(chain: bytes, key: ec.EllipticCurvePrivateKey) -> ssl.SSLContext:
    context = _plain_context()
    with _as_files(chain, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())) as (first, second):
        context.load_cert_chain(first, second)
    return context


@contextmanager
def _as_files(*contents: bytes) -> Iterator[list[str]]:
    """Paths from which a few KiB can be read once. Python reads keys only from files; a pipe never touches a disk."""
    with ExitStack() as stack:
        paths = []
        for content in contents:
            reader, writer = os.pipe()
            stack.callback(os.close, reader)
            with open(writer, "wb") as file:
                file.write(content)
            paths.append(f"/dev/fd/{reader}")
        yield paths


def _authority_certificate(key: ec.EllipticCurvePrivateKey, name: str, lifetime: timedelta) -> x509.Certificate:
    now = datetime.now(UTC)
    public = key.public_key()
    own_name = _unsigned_name(name)
    builder = (
        _unsigned(name, own_name, public)
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(now + lifetime)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )
    return builder.sign(key, hashes.SHA256())


def _unsigned(name: str, issuer: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(_unsigned_name(name))
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
    )


def _unsigned_name(name: str) -> x509.Name:
    organization = x509.NameAttribute(NameOID.ORGANIZATION_NAME, "llm-provider-emulator")
    return x509.Name([organization, x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


# Trust stores


def system_roots() -> bytes:
    """The root certificates of this machine, as PEM; empty if none can be found."""
    paths = ssl.get_default_verify_paths()
    candidates = [
        paths.openssl_cafile,
        "/etc/ssl/certs/ca-certificates.crt",
        "/etc/pki/tls/certs/ca-bundle.crt",
        "/etc/ssl/ca-bundle.pem",
        "/etc/ssl/cert.pem",
    ]
    for candidate in candidates:
        with suppress(OSError):
            content = Path(candidate).read_bytes()
            if b"BEGIN CERTIFICATE" in content:
                return content
    try:
        import certifi
    except ImportError:
        loaded = ssl.create_default_context().get_ca_certs(binary_form=True)
        return "".join(map(ssl.DER_cert_to_PEM_cert, loaded)).encode()
    return Path(certifi.where()).read_bytes()


def combined(*bundles: bytes) -> bytes:
    """Several bundles merged into one, without duplicates."""
    blocks = dict.fromkeys(block for bundle in bundles for block in _blocks(bundle))
    return b"".join(blocks)


def java_truststore(bundle: bytes) -> bytes:
    """A PKCS12 truststore with the certificates of a bundle: Java doesn't read PEM."""
    entries = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some old roots have serial numbers that aren't positive
        for number, block in enumerate(_blocks(bundle)):
            with suppress(ValueError):
                certificate = x509.load_pem_x509_certificate(block)
                entries.append(pkcs12.PKCS12Certificate(certificate, f"root-{number}".encode()))
    encryption = (
        PrivateFormat.PKCS12.encryption_builder()
        .kdf_rounds(2000)
        .key_cert_algorithm(pkcs12.PBES.PBESv2SHA256AndAES256CBC)
        .build(STORE_PASSWORD.encode())
    )
    return pkcs12.serialize_java_truststore(entries, encryption)


def _blocks(bundle: bytes) -> Iterator[bytes]:
    begin, end = b"-----BEGIN CERTIFICATE-----", b"-----END CERTIFICATE-----"
    for part in bundle.split(begin)[1:]:
        content, found, _ = part.partition(end)
        if found:
            yield begin + content.replace(b"\r", b"") + end + b"\n"
