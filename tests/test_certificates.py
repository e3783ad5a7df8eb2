"""The local certificate authority: made once, trusted by visitors, renewed by itself."""

import ssl
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from b2b import certificates
from b2b.certificates import BadCertificate
from tests.certificates import certificate

NOW = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)


def server_of(folder: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate((folder / "server.pem").read_bytes())


def test_an_authority_and_a_certificate_for_this_machines_names(tmp_path: Path) -> None:
    folder = tmp_path / "tls"
    files = certificates.ensure(folder, ["b2b.example", "192.0.2.7"], NOW)
    names = server_of(folder).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost", "b2b.example"]
    assert [str(one) for one in names.get_values_for_type(x509.IPAddress)] == [
        "127.0.0.1", "::1", "192.0.2.7",
    ]  # fmt: skip
    context = ssl.create_default_context(cafile=files.ca)
    assert len(context.get_ca_certs()) == 1
    server_of(folder).verify_directly_issued_by(
        x509.load_pem_x509_certificate(files.ca.read_bytes())
    )
    for path in folder.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_it_is_made_once_and_renewed_when_it_must(tmp_path: Path) -> None:
    """Whoever trusts the authority goes on trusting it."""
    certificates.ensure(tmp_path, ["localhost"], NOW)
    authority, first = (tmp_path / "ca.pem").read_bytes(), (tmp_path / "server.pem").read_bytes()
    certificates.ensure(tmp_path, ["localhost"], NOW + timedelta(days=300))
    assert (tmp_path / "server.pem").read_bytes() == first
    certificates.ensure(tmp_path, ["localhost"], NOW + timedelta(days=370))
    renewed = (tmp_path / "server.pem").read_bytes()
    assert renewed != first, "a month before it ends"
    certificates.ensure(tmp_path, ["other.example"], NOW + timedelta(days=370))
    assert (tmp_path / "server.pem").read_bytes() != renewed, "for another name"
    (tmp_path / "server.key").write_text("damaged")
    certificates.ensure(tmp_path, ["other.example"], NOW + timedelta(days=370))
    assert b"PRIVATE KEY" in (tmp_path / "server.key").read_bytes()
    assert (tmp_path / "ca.pem").read_bytes() == authority


def test_a_certificate_is_read_as_pem_and_as_der() -> None:
    made = certificate(NOW)
    read = certificates.read(made.public)
    assert certificates.read(read.der) == read
    assert (read.thumbprint, read.ends_at, read.subject) == (
        made.thumbprint, made.ends_at, "CN=nightly",
    )  # fmt: skip
    for data in (b"", b"x" * 100, made.private, certificate(NOW, bits=1024).public):
        with pytest.raises(BadCertificate):
            certificates.read(data)
