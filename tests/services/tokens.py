"""A token issuer of our own: WLCG tokens and SciTokens for tests, good ones and bad ones. Nothing listens at its URL.

python tests/services/tokens.py KEY ISSUER '{"lifetime": 60}'     prints a new token; `TokenIssuer.command`
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shlex
import sys
import time
import uuid
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

AUDIENCE = "https://localhost"


def write(path: Path, content: bytes, mode: int = 0o644) -> Path:
    """Write a file that never has more permission bits than `mode`; return its path."""
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(content)
    path.chmod(mode)
    return path


class TokenIssuer:
    """Issues tokens, all with one key.

    Parameters
    ----------
    folder : Path
        Where its key is, or is made.
    issuer : str
        Its URL.
    """

    def __init__(self, folder: Path, issuer: str) -> None:
        self.issuer = issuer
        self._file = folder / "issuer.key"
        if not self._file.exists():
            form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
            write(self._file, ec.generate_private_key(ec.SECP256R1()).private_bytes(*form), 0o600)
        self._key = serialization.load_pem_private_key(self._file.read_bytes(), None)

    def token(
        self,
        scope: str | None = None,
        *,
        audience: str | list[str] = AUDIENCE,
        lifetime: float = 3600,
        begins: float = 0,
        profile: str = "wlcg",
        **claims: object,
    ) -> str:
        """Return a signed token.

        Parameters
        ----------
        scope : str, optional
            What it allows; by default to read everything, as the profile spells it.
        audience : str or list of str
            For whom it is.
        lifetime : float
            Seconds from now until it expires; negative for one that has expired.
        begins : float
            Seconds from now until it is valid.
        profile : {"wlcg", "scitokens"}
            Which claims it has.
        **claims
            More claims, or others.
        """
        now = time.time()
        version = {"wlcg.ver": "1.0"} if profile == "wlcg" else {"ver": "scitoken:2.0"}
        usual = "storage.read:/" if profile == "wlcg" else "read:/"
        begin = int(min(now + begins, now + lifetime - 1))
        content = {
            "iss": self.issuer,
            "sub": "ada-of-tests",
            "aud": audience,
            "scope": usual if scope is None else scope,
            "iat": begin,
            "nbf": begin,
            "exp": int(now + lifetime),
            "jti": str(uuid.uuid4()),
        }
        headers = {"kid": self.keys()["keys"][0]["kid"]}
        return jwt.encode(content | version | claims, self._key, "ES256", headers=headers)

    def keys(self) -> dict[str, list[dict[str, str]]]:
        """Return its public keys, a JSON Web Key Set."""
        numbers = self._key.public_key().public_numbers()
        x, y = (base64.urlsafe_b64encode(n.to_bytes(32)).rstrip(b"=").decode() for n in (numbers.x, numbers.y))
        key = {"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "x": x, "y": y}
        return {"keys": [key | {"kid": hashlib.sha256(x.encode()).hexdigest()[:8]}]}

    def command(self, **options: Any) -> str:
        """Return a shell command that prints a new token, as htgettoken does; the options are those of `token`."""
        return shlex.join([sys.executable, __file__, str(self._file), self.issuer, json.dumps(options)])


if __name__ == "__main__":
    print(TokenIssuer(Path(sys.argv[1]).parent, sys.argv[2]).token(**json.loads(sys.argv[3])))
