"""Keys and certificates of a cluster for tests: one authority, and whom it vouches for."""

import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import NameOID

_NAMES = ("localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc")


@dataclass(frozen=True)
class Pki:
    folder: Path

    @property
    def ca(self) -> Path:
        return self.folder / "ca.pem"

    @classmethod
    def make(cls, folder: Path) -> "Pki":
        folder.mkdir()
        made = cls(folder)
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tests")])
        authority = _begun(name, name, key.public_key()).add_extension(
            x509.BasicConstraints(ca=True, path_length=None), critical=True
        )
        certificate = authority.sign(key, SHA256())
        made.ca.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        for person, groups in (
            ("server", ()),
            ("admin", ("system:masters",)),
            ("system:kube-controller-manager", ()),
        ):
            made._issue(certificate, key, person, groups)
        made._accounts_key()
        return made

    def certificate(self, person: str) -> Path:
        return self.folder / f"{person}.pem"

    def key(self, person: str) -> Path:
        return self.folder / f"{person}.key"

    def _issue(
        self,
        authority: x509.Certificate,
        signer: ec.EllipticCurvePrivateKey,
        person: str,
        groups: tuple[str, ...],
    ) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        attributes = [x509.NameAttribute(NameOID.COMMON_NAME, person)]
        attributes += [x509.NameAttribute(NameOID.ORGANIZATION_NAME, one) for one in groups]
        builder = _begun(x509.Name(attributes), authority.subject, key.public_key())
        names: list[x509.GeneralName] = [x509.DNSName(one) for one in _NAMES]
        names.append(x509.IPAddress(ipaddress.ip_address("127.0.0.1")))
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        certificate = builder.sign(signer, SHA256())
        self.certificate(person).write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        self.key(person).write_bytes(_pem(key))

    def _accounts_key(self) -> None:
        """What the tokens of service accounts are signed with."""
        key = ec.generate_private_key(ec.SECP256R1())
        self.key("accounts").write_bytes(_pem(key))
        public = key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        (self.folder / "accounts.pub").write_bytes(public)


def _begun(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(issuer, subject, key, x509.random_serial_number())
    return builder.not_valid_before(now - timedelta(hours=1)).not_valid_after(
        now + timedelta(days=2)
    )


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
