"""What the authority's certificate and the server's look like, and when another one is due.

No I/O, and no clock. Both are valid from 1970 on: that is where a device without a clock battery
begins.
"""

import ipaddress
from datetime import UTC, datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

SERVER_RENEWED: Final = timedelta(days=2 * 365)
"""Before its end: it is renewed at a start only, and has to outlive any run."""
_BEGINNING: Final = datetime(1970, 1, 1, tzinfo=UTC)


def due(
    server: x509.Certificate | None,
    authority: x509.Certificate,
    names: frozenset[str],
    now: datetime,
) -> bool:
    """Whether the server needs a certificate other than the one it has."""
    if server is None or names_of(server) != names:
        return True
    try:
        server.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return True
    wanted = min(now + SERVER_RENEWED, authority.not_valid_after_utc)
    return server.not_valid_after_utc < wanted


def names_of(certificate: x509.Certificate) -> frozenset[str]:
    """The host names and addresses that it is for."""
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return frozenset()
    addresses = (str(ip) for ip in found.get_values_for_type(x509.IPAddress))
    return frozenset({*found.get_values_for_type(x509.DNSName), *addresses})


def authority_certificate(key: ec.EllipticCurvePrivateKey, ends: datetime) -> x509.Certificate:
    """Its name holds a part of its key: while one takes another's place, both are trusted."""
    own_key = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    name = _named(f"harmony-fleet {own_key.digest.hex()[:16]}")
    builder = _begun(name, name, key.public_key(), ends)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(_usage(signs_certificates=True), critical=True)
    return builder.add_extension(own_key, critical=False).sign(key, SHA256())


def server_certificate(
    authority: x509.Certificate,
    signer: ec.EllipticCurvePrivateKey,
    public_key: ec.EllipticCurvePublicKey,
    names: frozenset[str],
    ends: datetime,
) -> x509.Certificate:
    own_key = x509.SubjectKeyIdentifier.from_public_key(public_key)
    builder = _begun(_named("harmony-fleet"), authority.subject, public_key, ends)
    for extension, critical in (
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (_usage(signs_certificates=False), True),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False),
        (x509.SubjectAlternativeName([_general(name) for name in sorted(names)]), False),
        (own_key, False),
        (x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), False),
    ):
        builder = builder.add_extension(extension, critical)
    return builder.sign(signer, SHA256())


def _begun(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, ends: datetime
) -> x509.CertificateBuilder:
    builder = x509.CertificateBuilder(issuer, subject, key, x509.random_serial_number())
    return builder.not_valid_before(_BEGINNING).not_valid_after(ends)


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


def _named(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
