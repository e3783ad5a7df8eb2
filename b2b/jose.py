"""RSA keys and signed tokens: the only door to the JOSE library for what this program signs."""

import binascii
import json
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_private_key
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey
from joserfc.jws import JWSRegistry, deserialize_compact

ALGORITHM = "RS256"
KEY_BITS = 2048
LONGEST = 16 * 1024
"""Characters of a token that is looked at."""
_PADDING, _HASH = PKCS1v15(), SHA256()
_HEADERS = {"typ", "alg", "kid"}
_write = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode
_KID = re.compile(r"[A-Za-z0-9_-]{1,64}")


class Forged(Exception):
    """A token that no key of ours has signed as it stands."""


def new_key() -> bytes:
    """A fresh RSA private key as PKCS #8 (DER)."""
    return RSAKey.generate_key(KEY_BITS, private=True).as_der(private=True)


def public_jwk(private_key: bytes) -> dict[str, str]:
    """The public half of *private_key* as a JWK for signatures, named by its thumbprint
    (RFC 7638).
    """
    key = RSAKey.import_key(private_key)
    public = key.as_dict(private=False)
    return {
        "kty": "RSA",
        "use": "sig",
        "alg": ALGORITHM,
        "kid": key.thumbprint(),
        "n": str(public["n"]),
        "e": str(public["e"]),
    }


def _part(value: Mapping[str, Any]) -> bytes:
    return _trimmed(_write(value).encode())


def _trimmed(data: bytes) -> bytes:
    return urlsafe_b64encode(data).rstrip(b"=")


class Signer:
    """A private key that is ready to sign; making one takes longer than signing."""

    def __init__(self, kid: str, private_key: bytes) -> None:
        self.kid = kid
        key = load_der_private_key(private_key, None)
        assert isinstance(key, RSAPrivateKey)
        self._key = key
        self._header = _part({"typ": "JWT", "alg": ALGORITHM, "kid": kid})

    def sign(self, claims: Mapping[str, Any]) -> str:
        """*claims* as a compact JWT (RFC 7515, 3.1).

        Written here, because beside one signature the library's own checks of what it is given
        would take a third as long again; reading, where forgeries come in, is the library's.
        """
        signed = b"%b.%b" % (self._header, _part(claims))
        made = self._key.sign(signed, _PADDING, _HASH)
        return (b"%b.%b" % (signed, _trimmed(made))).decode("ascii")


def verified(token: str, find: Callable[[str], Mapping[str, str] | None]) -> dict[str, Any]:
    """The claims of a token that a key of ours has signed; *find* gives the public JWK of a kid.

    Raises Forged. The header may hold typ, alg and kid and nothing else: keys and addresses that a
    token brings along, and extensions that it calls critical, are never looked at (threats.md,
    OIDC-5). When it ends, and for whom it is, is the caller's to ask.
    """
    header = _header(token)
    kid = header.get("kid")
    if set(header) != _HEADERS or header["alg"] != ALGORITHM:
        raise Forged
    if not isinstance(kid, str) or not _KID.fullmatch(kid):
        raise Forged
    found = find(kid)
    if found is None:
        raise Forged
    try:
        return dict(_signed(token, found["n"], found["e"]))
    except (JoseError, ValueError) as error:
        raise Forged from error


@lru_cache(maxsize=256)
def _signed(token: str, modulus: str, exponent: str) -> dict[str, Any]:
    """The claims under a good signature. What was checked once need not be checked again: it is the
    same for ever, and programs send one token with every request of an hour.
    """
    return jwt.decode(token, _public(modulus, exponent), algorithms=[ALGORITHM]).claims


@lru_cache(maxsize=16)
def _public(modulus: str, exponent: str) -> RSAKey:
    """One of our own keys; making it ready takes longer than checking with it."""
    return RSAKey.import_key({"kty": "RSA", "n": modulus, "e": exponent})


ASSERTION_ALGORITHMS = ("RS256", "PS256")


def key_hints(token: str) -> dict[str, str]:
    """The header values by which an assertion names its certificate: `x5t`, `x5t#S256`, `kid`.

    They choose among certificates that are registered, and bring none. Raises Forged.
    """
    header = _header(token)
    if header.get("alg") not in ASSERTION_ALGORITHMS or "crit" in header:
        raise Forged
    named = {name: header.get(name) for name in ("x5t", "x5t#S256", "kid")}
    return {name: value for name, value in named.items() if isinstance(value, str)}


def verified_by(token: str, public_key: bytes) -> dict[str, Any]:
    """The claims of an assertion that the owner of *public_key* (PEM) has signed. Raises Forged.

    Whatever key the header brings along is never looked at (threats.md, OIDC-5).
    """
    if _header(token).get("alg") not in ASSERTION_ALGORITHMS:
        raise Forged
    try:
        registry = JWSRegistry(algorithms=list(ASSERTION_ALGORITHMS), strict_check_header=False)
        registry.max_header_length = LONGEST  # some libraries send their certificates along
        key = RSAKey.import_key(public_key)
        found = deserialize_compact(token.encode(), key, registry=registry)
        claims = json.loads(found.payload)
    except (JoseError, ValueError, RecursionError) as error:
        raise Forged from error
    if not isinstance(claims, dict):
        raise Forged
    return claims


def text(data: bytes) -> str:
    """Bytes as JOSE writes them: base64url without padding."""
    return urlsafe_b64encode(data).decode().rstrip("=")


def unverified(token: str) -> dict[str, Any]:
    """The claims of a token as they stand, believed by nobody; {} for what is no token."""
    try:
        _header(token)
        middle = token.split(".")[1]
        claims = json.loads(urlsafe_b64decode(middle + "=" * (-len(middle) % 4)))
    except (Forged, binascii.Error, ValueError, RecursionError):
        return {}
    return claims if isinstance(claims, dict) else {}


def _header(token: str) -> dict[str, Any]:
    if len(token) > LONGEST or not token.isascii() or token.count(".") != 2:
        raise Forged
    first = token.partition(".")[0]
    try:
        header = json.loads(urlsafe_b64decode(first + "=" * (-len(first) % 4)))
    except (binascii.Error, ValueError, RecursionError) as error:
        raise Forged from error
    if not isinstance(header, dict):
        raise Forged
    return header
