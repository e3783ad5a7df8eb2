"""Certificates as an operator makes them, self-signed."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID


@dataclass(frozen=True)
class Made:
    """PEM, both halves, and what names it."""

    private: bytes
    public: bytes
    thumbprint: str
    """SHA-1 in hexadecimal capitals."""
    ends_at: datetime


def certificate(now: datetime, *, bits: int = 2048) -> Made:
    """Good from yesterday for a month."""
    key = rsa.generate_private_key(65537, bits)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "nightly")])
    ends_at = (now + timedelta(days=30)).replace(microsecond=0)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(ends_at)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    public = made.public_bytes(serialization.Encoding.PEM)
    return Made(private, public, made.fingerprint(hashes.SHA1()).hex().upper(), ends_at)
