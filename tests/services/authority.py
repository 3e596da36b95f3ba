"""A certification authority, a VOMS server and a token issuer of our own: credentials for tests, good ones and bad ones.

Nobody else trusts them. Secret files have mode 0600. `voms-proxy-fake` writes VOMS attributes, cryptography all other
certificates.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import subprocess
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from services.tokens import TokenIssuer, write

ORGANIZATION = "FAST-HEP tests"
VO = "fasthep"
PROXY_CERT_INFO = ObjectIdentifier("1.3.6.1.5.5.7.1.14")  # RFC 3820, 3.8
INHERIT_ALL = bytes.fromhex("300c 300a 0608 2b06010505071501")
"""ProxyCertInfo whose policy language is id-ppl-inheritAll: the proxy may do what its owner may."""
DAY = timedelta(days=1)


def distinguished_name(common_name: str) -> str:
    """Return a subject as grid-mapfiles and .lsc files spell it."""
    return f"/O={ORGANIZATION}/CN={common_name}"


class Authority:
    """Issues certificates, proxies and tokens.

    Parameters
    ----------
    folder : Path
        Where all files go; others can read what is public in it.
    issuer : str
        URL of the token issuer. Nothing listens there.

    Attributes
    ----------
    certificates : Path
        The CA, its signing policy and revocation list, named as in /etc/grid-security/certificates.
    voms_dir : Path
        What servers trust for VOMS attributes.
    ca : Path
        The CA's certificate.
    private : Path
        The only folder with secrets.
    user : str
        The subject of `proxy`.
    tokens : TokenIssuer
        Issues the tokens.
    """

    def __init__(self, folder: Path, *, issuer: str = "https://localhost/issuer-of-tests") -> None:
        self.folder = folder.resolve()
        self.issuer = issuer
        self.user = distinguished_name("Ada Tester")
        self.certificates = self.folder / "certificates"
        self.voms_dir = self.folder / "vomsdir"
        self.private = self.folder / "private"
        self._numbers = itertools.count(1)
        for made, mode in ((self.certificates, 0o755), (self.voms_dir / VO, 0o755), (self.private, 0o700)):
            made.mkdir(parents=True)
            made.chmod(mode)
        self._write_ca()
        self._user = self._certificate("user", "Ada Tester", ExtendedKeyUsageOID.CLIENT_AUTH)
        self.host = self._certificate("host", "localhost", ExtendedKeyUsageOID.SERVER_AUTH, "localhost", "127.0.0.1")
        self._voms = self._certificate("voms", "voms.test", ExtendedKeyUsageOID.SERVER_AUTH, "voms.test")
        trusted = f"{distinguished_name('voms.test')}\n{distinguished_name('CA')}\n"
        write(self.voms_dir / VO / "voms.test.lsc", trusted.encode())
        self.tokens = TokenIssuer(self.private, issuer)

    @property
    def env(self) -> dict[str, str]:
        """Environment variables of programs that are to trust its servers."""
        return {"X509_CERT_DIR": str(self.certificates)}

    # --------------------------------------------------------------------------------------- certificates

    def _write_ca(self) -> None:
        self._ca_key = rsa.generate_private_key(65537, 2048)
        public = self._ca_key.public_key()
        certificate = (
            _builder("CA", "CA", public, -DAY, 30 * DAY)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(_key_usage(key_cert_sign=True, crl_sign=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .sign(self._ca_key, hashes.SHA256())
        )
        now = datetime.now(UTC)
        revoked = x509.CertificateRevocationListBuilder(certificate.subject, now - DAY, now + 30 * DAY)
        policy = (
            f"access_id_CA X509 '{distinguished_name('CA')}'\npos_rights globus CA:sign\n"
            f"cond_subjects globus '\"/O={ORGANIZATION}/*\"'\n"
        )
        name = self.certificates / subject_hash("CA")
        self.ca = write(name.with_suffix(".0"), _pem(certificate))
        write(name.with_suffix(".signing_policy"), policy.encode())
        write(name.with_suffix(".r0"), _pem(revoked.sign(self._ca_key, hashes.SHA256())))

    def _certificate(self, file: str, common_name: str, use: ObjectIdentifier, *hosts: str) -> tuple[Path, Path]:
        """Write a certificate and its key; return their paths."""
        key = rsa.generate_private_key(65537, 2048)
        identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())  # voms-proxy-fake requires it
        builder = (
            _builder(common_name, "CA", key.public_key(), -DAY, 30 * DAY)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(digital_signature=True, key_encipherment=True), critical=True)
            .add_extension(x509.ExtendedKeyUsage([use, ExtendedKeyUsageOID.CLIENT_AUTH][: 1 + bool(hosts)]), False)
            .add_extension(identifier, critical=False)
        )
        if hosts:
            names = [x509.IPAddress(ip_address(h)) if h[0].isdigit() else x509.DNSName(h) for h in hosts]
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        certificate = builder.sign(self._ca_key, hashes.SHA256())
        pair = self.private / f"{file}.pem", self.private / f"{file}.key"
        write(pair[0], _pem(certificate))
        write(pair[1], _key_pem(key), 0o600)
        return pair

    # --------------------------------------------------------------------------------------------- proxies

    def proxy(
        self, *, hours: float = 12, begins: float = -5 / 60, voms_hours: float | None = None, path: Path | None = None
    ) -> Path:
        """Write a proxy of the user; return its path.

        Parameters
        ----------
        hours : float
            Hours from now until it expires; negative for one that has expired.
        begins : float
            Hours from now until it is valid. Without `voms_hours` only.
        voms_hours : float, optional
            Hours from now until its VOMS attributes (/fasthep) expire; negative for such that have expired. None for a
            proxy without attributes.
        path : Path, optional
            Where it goes; a new file by default.
        """
        path = path or self.private / f"proxy-{next(self._numbers)}"
        if voms_hours is not None:
            return self._voms_proxy(path, hours, voms_hours)
        owner = x509.load_pem_x509_certificate(self._user[0].read_bytes())
        owner_key = serialization.load_pem_private_key(self._user[1].read_bytes(), None)
        key = rsa.generate_private_key(65537, 2048)
        serial = int.from_bytes(os.urandom(4)) >> 1
        begin, end = timedelta(hours=begins), timedelta(hours=hours)
        subject = x509.Name([*owner.subject, x509.NameAttribute(NameOID.COMMON_NAME, str(serial))])
        certificate = (
            _builder("", "", key.public_key(), min(begin, end - timedelta(minutes=1)), end)
            .subject_name(subject)
            .issuer_name(owner.subject)
            .add_extension(_key_usage(digital_signature=True, key_encipherment=True), critical=True)
            .add_extension(x509.UnrecognizedExtension(PROXY_CERT_INFO, INHERIT_ALL), critical=True)
            .sign(owner_key, hashes.SHA256())
        )
        form = serialization.PrivateFormat.TraditionalOpenSSL
        return write(path, _pem(certificate) + _key_pem(key, form) + self._user[0].read_bytes(), 0o600)

    def _voms_proxy(self, path: Path, hours: float, voms_hours: float) -> Path:
        from services.xrootd import prefix

        life = max(1, round(voms_hours))
        age = max(0.0, life - voms_hours)  # hours ago that the attributes were made
        files = ["-cert", self._user[0], "-key", self._user[1], "-hostcert", self._voms[0], "-hostkey", self._voms[1]]
        content = ["-voms", VO, "-uri", "voms.test:15000", "-fqan", f"/{VO}/Role=NULL/Capability=NULL", "-newformat"]
        times = ["-hours", max(1, round(hours)), "-vomslife", life, "-pastac", f"{int(age)}:{int(age % 1 * 60):02}"]
        command = [prefix() / "usr/bin/voms-proxy-fake", "-q", "-rfc", "-bits", 2048, *files, *content, *times]
        command += ["-certdir", self.certificates, "-out", path]
        env = {"HOME": str(self.private), "X509_CERT_DIR": str(self.certificates)}
        done = subprocess.run(
            list(map(str, command)), env=env, capture_output=True, text=True, check=False, umask=0o077
        )
        if done.returncode or not path.is_file():
            raise RuntimeError(f"voms-proxy-fake: {done.stdout}{done.stderr}")
        path.chmod(0o600)
        return path

    # ---------------------------------------------------------------------------------------------- tokens

    def token(self, scope: str | None = None, **options: Any) -> str:
        """Return a signed token; see `services.tokens.TokenIssuer.token` for the options."""
        return self.tokens.token(scope, **options)

    def token_file(self, scope: str | None = None, *, path: Path | None = None, **options: Any) -> Path:
        """Write a token and a line break, as htgettoken does; return the path."""
        path = path or self.private / f"token-{next(self._numbers)}"
        return write(path, f"{self.token(scope, **options)}\n".encode(), 0o600)


# ----------------------------------------------------------------------------------------------------- parts


def _builder(
    subject: str, issuer: str, key: rsa.RSAPublicKey, begin: timedelta, end: timedelta
) -> x509.CertificateBuilder:
    now = datetime.now(UTC).replace(microsecond=0)
    built = x509.CertificateBuilder(public_key=key, serial_number=x509.random_serial_number())
    built = built.not_valid_before(now + begin).not_valid_after(now + end)
    return built.subject_name(_name(subject)).issuer_name(_name(issuer)) if subject else built


def _name(common_name: str) -> x509.Name:
    values = ((NameOID.ORGANIZATION_NAME, ORGANIZATION), (NameOID.COMMON_NAME, common_name))
    return x509.Name([x509.NameAttribute(*value) for value in values])


def subject_hash(common_name: str) -> str:
    """Return the file name that OpenSSL gives the certificate of a CA: X509_NAME_hash.

    The hash is of the name in lower case without its outermost header, which is two bytes long for a short name.
    """
    values = ((NameOID.ORGANIZATION_NAME, ORGANIZATION.lower()), (NameOID.COMMON_NAME, common_name.lower()))
    encoded = x509.Name([x509.NameAttribute(*value) for value in values]).public_bytes()[2:]
    return f"{int.from_bytes(hashlib.sha1(encoded).digest()[:4], 'little'):08x}"


def _key_usage(**allowed: bool) -> x509.KeyUsage:
    names = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement")
    names += ("key_cert_sign", "crl_sign", "encipher_only", "decipher_only")
    return x509.KeyUsage(**{name: allowed.get(name, False) for name in names})


def _pem(item: x509.Certificate | x509.CertificateRevocationList) -> bytes:
    return item.public_bytes(serialization.Encoding.PEM)


def _key_pem(key: rsa.RSAPrivateKey, form: serialization.PrivateFormat = serialization.PrivateFormat.PKCS8) -> bytes:
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
