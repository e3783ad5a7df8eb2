"""X.509: certificates that applications prove themselves with, and a local certificate authority
for a program that speaks https on its own machine.
"""

import contextlib
import ipaddress
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

SHORTEST_RSA = 2048
CA_FILE, CERTIFICATE_FILE, KEY_FILE = "ca.pem", "server.pem", "server.key"
_CA_KEY_FILE = "ca.key"
_CA_LIFE = timedelta(days=3650)
_LIFE = timedelta(days=397)
"""The longest that browsers take from a server."""
_RENEW = timedelta(days=30)


class BadCertificate(ValueError):
    """Not a certificate with an RSA key that is long enough."""


@dataclass(frozen=True)
class Certificate:
    """The public half of what an application signs with."""

    der: bytes
    thumbprint: str
    """SHA-1 in hexadecimal capitals, as the real service shows it."""
    begins_at: datetime
    ends_at: datetime
    subject: str


def read(data: bytes) -> Certificate:
    """A certificate as PEM or DER. Raises BadCertificate."""
    try:
        if b"-----BEGIN" in data:
            found = x509.load_pem_x509_certificate(data)
        else:
            found = x509.load_der_x509_certificate(data)
        key = found.public_key()
        subject = found.subject.rfc4514_string()
    except Exception as error:  # the parser has many ways to fail
        raise BadCertificate from error
    if not isinstance(key, rsa.RSAPublicKey) or key.key_size < SHORTEST_RSA:
        raise BadCertificate
    return Certificate(
        der=found.public_bytes(serialization.Encoding.DER),
        thumbprint=found.fingerprint(hashes.SHA1()).hex().upper(),
        begins_at=found.not_valid_before_utc,
        ends_at=found.not_valid_after_utc,
        subject=subject,
    )


def thumbprint_sha256(der: bytes) -> bytes:
    """The digest that `x5t#S256` holds."""
    return x509.load_der_x509_certificate(der).fingerprint(hashes.SHA256())


def public_key(der: bytes) -> bytes:
    """The public key of a certificate as PEM."""
    key = x509.load_der_x509_certificate(der).public_key()
    return key.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


# The local authority -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Files:
    """What a server needs, and what its visitors have to trust."""

    ca: Path
    certificate: Path
    key: Path


def files(folder: Path) -> Files:
    """Where they lie, made or not."""
    return Files(folder / CA_FILE, folder / CERTIFICATE_FILE, folder / KEY_FILE)


def hosts(base_url: str, bound_to: str) -> list[str]:
    """The names that a server of this installation is reached under, for ``ensure``."""
    host = urlsplit(base_url).hostname or "localhost"
    return [host] if bound_to in ("0.0.0.0", "::", "") else [host, bound_to]


def ensure(folder: Path, hosts: Sequence[str], now: datetime) -> Files:
    """A certificate for *hosts* and this machine's own names, by an authority of this installation.

    The authority is made once and its certificate is what visitors trust; the server's is made
    anew when it is about to end or the hosts have changed. Files are 0600.
    """
    folder.mkdir(mode=0o700, exist_ok=True)
    found = files(folder)
    authority, key = _authority(folder, now)
    if not _serves(found, authority, hosts, now):
        _make_server(found, authority, key, hosts, now)
    return found


def _authority(folder: Path, now: datetime) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    certificate_file, key_file = folder / CA_FILE, folder / _CA_KEY_FILE
    with contextlib.suppress(OSError, ValueError):
        certificate = x509.load_pem_x509_certificate(certificate_file.read_bytes())
        key = serialization.load_pem_private_key(key_file.read_bytes(), None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        if certificate.not_valid_after_utc > now + _LIFE:
            return certificate, key
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "B2B Collaboration local CA")])
    certificate = (
        _builder(name, name, key.public_key(), now, _CA_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(_identifier(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    _write(key_file, _private(key))
    _write(certificate_file, certificate.public_bytes(serialization.Encoding.PEM))
    return certificate, key


def _serves(found: Files, authority: x509.Certificate, hosts: Sequence[str], now: datetime) -> bool:
    try:
        certificate = x509.load_pem_x509_certificate(found.certificate.read_bytes())
        key = serialization.load_pem_private_key(found.key.read_bytes(), None)
        certificate.verify_directly_issued_by(authority)
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except Exception:  # missing, damaged or another authority's: made anew
        return False
    return (
        certificate.not_valid_after_utc > now + _RENEW
        and certificate.public_key() == key.public_key()
        and set(names) >= set(_names(hosts))
    )


def _names(hosts: Sequence[str]) -> list[x509.GeneralName]:
    names: list[x509.GeneralName] = []
    for host in ("localhost", "127.0.0.1", "::1", *hosts):
        try:
            name: x509.GeneralName = x509.IPAddress(ipaddress.ip_address(host))
        except ValueError:
            name = x509.DNSName(host)
        if name not in names:
            names.append(name)
    return names


def _make_server(
    found: Files,
    authority: x509.Certificate,
    authority_key: ec.EllipticCurvePrivateKey,
    hosts: Sequence[str],
    now: datetime,
) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hosts[0][:64])])
    certificate = (
        _builder(name, authority.subject, key.public_key(), now, _LIFE)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(_names(hosts)), critical=False)
        .add_extension(_identifier(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()),
            critical=False,
        )
        .sign(authority_key, hashes.SHA256())
    )
    _write(found.key, _private(key))
    _write(found.certificate, certificate.public_bytes(serialization.Encoding.PEM))


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    now: datetime,
    life: timedelta,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + life)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
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


def _identifier(key: ec.EllipticCurvePublicKey) -> x509.SubjectKeyIdentifier:
    return x509.SubjectKeyIdentifier.from_public_key(key)


def _private(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _write(path: Path, content: bytes) -> None:
    """Whole or not at all, for its owner alone."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
        out.write(content)
        out.flush()
        os.fsync(out.fileno())
    fresh.replace(path)
