"""The installation's secret keys, kept outside the database, and what is derived from them.

A link or a passcode is never stored: it is an HMAC of ids and a version, made when it is needed.
The first key makes new ones; older keys go on checking until they are retired.
"""

import base64
import hashlib
import hmac
import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from b2b.errors import StartRefused

FILE_NAME = "keys.json"
PASSCODE_DIGITS = 8


def digest(secret: str) -> bytes:
    """SHA-256 of a secret of full entropy: what the database holds of it (32 bytes)."""
    return hashlib.sha256(secret.encode()).digest()


def new_secret() -> str:
    """256 random bits as 43 characters of base64url."""
    return secrets.token_urlsafe(32)


def id_of(text: str) -> str:
    """The short name of a root key, which tells nothing about it."""
    return hashlib.sha256(b"id" + text.encode()).hexdigest()[:12]


def read_file(path: Path) -> list[str]:
    """The root keys in the file at *path*, the newest first. Raises StartRefused."""
    try:
        return parse_file(path.read_bytes())
    except (ValueError, OSError) as error:
        raise StartRefused(f"The key file {path} cannot be read as keys.") from error


def parse_file(content: bytes) -> list[str]:
    """The root keys of a key file's *content*, the newest first. Raises ValueError."""
    try:
        texts = json.loads(content)["keys"]
    except (KeyError, TypeError) as error:
        raise ValueError("no keys") from error
    if not isinstance(texts, list) or not texts:
        raise ValueError("no keys")
    if not all(isinstance(text, str) and len(text) >= 32 for text in texts):
        raise ValueError("no keys")
    return texts


def write_file(path: Path, texts: list[str]) -> None:
    """Put *texts* in the place of the keys at *path*, mode 0600: all of them or no change.

    Raises StartRefused.
    """
    fresh = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        _write(fresh, texts)
        os.replace(fresh, path)
    except OSError as error:
        fresh.unlink(missing_ok=True)
        raise StartRefused(f"The key file {path} cannot be written: {error.strerror}.") from error


def _write(path: Path, texts: list[str]) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
        json.dump({"keys": texts}, out)
        out.flush()
        os.fsync(out.fileno())


@dataclass(frozen=True)
class Key:
    """One root key and the short name under which rows remember it."""

    id: str
    secret: bytes


class Keyring:
    """Root keys, the newest first."""

    def __init__(self, keys: list[Key]) -> None:
        if not keys:
            raise ValueError("a keyring needs a key")
        self._keys = keys

    @classmethod
    def from_secrets(cls, texts: list[str]) -> "Keyring":
        """Keys given as text (settings); each is named by a hash of itself."""
        return cls([Key(id_of(text), text.encode()) for text in texts])

    @classmethod
    def from_file(cls, folder: Path) -> "Keyring":
        """The keys in *folder*, made there on the very first start, mode 0600.

        Two processes that start at once agree: the file appears whole, by a link, or not at all.
        Raises StartRefused when the file is not readable as keys.
        """
        path = folder / FILE_NAME
        if not path.exists():
            fresh = folder / f".{FILE_NAME}.{os.getpid()}.{secrets.token_hex(4)}"
            _write(fresh, [new_secret()])
            try:
                os.link(fresh, path)
            except FileExistsError:
                pass  # another process was first; its key is the one
            finally:
                fresh.unlink()
        return cls.from_secrets(read_file(path))

    @property
    def current_id(self) -> str:
        """Name of the key that makes new secrets."""
        return self._keys[0].id

    @property
    def ids(self) -> list[str]:
        """Names of all keys, the newest first."""
        return [key.id for key in self._keys]

    def _mac(self, key_id: str, *parts: str) -> bytes:
        for key in self._keys:
            if key.id == key_id:
                return hmac.digest(key.secret, "\x1f".join(parts).encode(), "sha256")
        raise KeyError(f"key {key_id} is gone")

    def purpose_keys(self, purpose: str) -> list[str]:
        """One derived key per root key for *purpose*, newest first (cookie signing, for
        instance).
        """
        return [self._mac(key.id, "purpose", purpose).hex() for key in self._keys]

    def ticket(self, key_id: str, invitation_id: UUID, version: int) -> str:
        """The secret of an invitation link: 43 characters (decisions.md, link secret).

        Raises KeyError when the key it was made with is gone.
        """
        mac = self._mac(key_id, "invitation", str(invitation_id), str(version))
        return base64.urlsafe_b64encode(mac).decode().rstrip("=")

    def refusal(self, tenant_id: UUID, invitation_id: UUID, key_id: str | None = None) -> str:
        """The secret of a link that blocks future invitations: 43 characters, never stored.

        It is good for nothing else, and the same in every mail of one invitation.
        """
        mac = self._mac(key_id or self.current_id, "refusal", str(tenant_id), str(invitation_id))
        return base64.urlsafe_b64encode(mac).decode().rstrip("=")

    def is_refusal(self, secret: str, tenant_id: UUID, invitation_id: UUID) -> bool:
        """Whether *secret* was derived by any of the keys for this very invitation."""
        right = (self.refusal(tenant_id, invitation_id, key.id) for key in self._keys)
        return any(hmac.compare_digest(secret.encode(), known.encode()) for known in right)

    def passcode(self, key_id: str, nonce: bytes, address_key: str, purpose: str) -> str:
        """The 8 digits of a mailed code (threats.md, 3). Raises KeyError as above."""
        mac = self._mac(key_id, "passcode", nonce.hex(), address_key, purpose)
        return f"{int.from_bytes(mac[:16]) % 10**PASSCODE_DIGITS:0{PASSCODE_DIGITS}d}"

    def seal(self, plain: bytes, purpose: str, name: str) -> bytes:
        """Encrypt what the database keeps and this program alone may read (AES-256-GCM).

        The name of the root key, a nonce of 12 bytes, the ciphertext; it opens under the same
        *purpose* and *name* only.
        """
        nonce = secrets.token_bytes(12)
        cipher = AESGCM(self._mac(self.current_id, "seal", purpose))
        return self.current_id.encode() + nonce + cipher.encrypt(nonce, plain, name.encode())

    @staticmethod
    def sealer(sealed: bytes) -> str:
        """The name of the root key that `seal` used."""
        return sealed[:12].decode("ascii", "replace")

    def unseal(self, sealed: bytes, purpose: str, name: str) -> bytes:
        """What `seal` was given. Raises KeyError when its key is gone, ValueError when altered."""
        nonce, ciphertext = sealed[12:24], sealed[24:]
        key = self._mac(self.sealer(sealed), "seal", purpose)
        try:
            return AESGCM(key).decrypt(nonce, ciphertext, name.encode())
        except InvalidTag as error:
            raise ValueError("what was sealed has been altered") from error
