"""Certificates that a CA should not have given: issued for the CSR of a real finalize request, by a CA made on the spot."""

import datetime
import functools
import ipaddress

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from odd_ca import change, decode

DAY = datetime.timedelta(days=1)


def now():
    return datetime.datetime.now(datetime.timezone.utc)


@functools.lru_cache
def _issuer(number):
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Odd CA {number}")])
    extensions = [(x509.BasicConstraints(ca=True, path_length=None), True)]
    return key, _sign(key, name, name, key.public_key(), now() - DAY, now() + 30 * DAY, extensions)


def _sign(key, issuer, subject, public_key, not_before, not_after, extensions):
    builder = (
        x509.CertificateBuilder().issuer_name(issuer).subject_name(subject).public_key(public_key)
        .serial_number(x509.random_serial_number()).not_valid_before(not_before).not_valid_after(not_after))
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    return builder.sign(key, hashes.SHA256())


def pem(*certificates):
    return b"".join(certificate.public_bytes(serialization.Encoding.PEM) for certificate in certificates)


def request_in(exchange):
    """The CSR that a finalize request brought."""
    return x509.load_der_x509_csr(decode(exchange.payload["csr"]))


def leaf(ca, names=None, not_before=None, not_after=None, other_key=False, issuer=1):
    csr = request_in(ca.requests("finalize")[-1])
    asked = csr.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    wanted = asked if names is None else x509.SubjectAlternativeName([x509.DNSName(name) for name in names])
    public = ec.generate_private_key(ec.SECP256R1()).public_key() if other_key else csr.public_key()
    key, own = _issuer(issuer)
    extensions = [(wanted, False)] if list(wanted) else []
    return _sign(key, own.subject, x509.Name([]), public, not_before or now() - DAY, not_after or now() + 90 * DAY, extensions)


def intermediate(issuer=1):
    return _issuer(issuer)[1]


def instead(make):
    """A fault for the step "certificate": make(ca) gives the octets to send instead of the CA's chain."""
    def act(exchange):
        return change(lambda answer: setattr(answer, "body", make(exchange.ca)))(exchange)

    return act


def server_files(net, label, address=None, not_before=None, not_after=None, trusted=True):
    """Certificate and key (paths) for the HTTPS of a CA: signed by the little Internet's own CA, or by one that nobody knows."""
    key = ec.generate_private_key(ec.SECP256R1())
    if trusted:
        with open(net.pebble.bundle, "rb") as file, open(net.pebble.bundle.replace(".pem", ".key"), "rb") as secret:
            issuer, issuer_key = x509.load_pem_x509_certificate(file.read()), serialization.load_pem_private_key(secret.read(), None)
    else:
        issuer_key, issuer = _issuer(3)
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address or net.pebble.address))])
    certificate = _sign(issuer_key, issuer.subject, x509.Name([]), key.public_key(), not_before or now() - DAY, not_after or now() + DAY, [(names, True)])
    folder = f"https-{label.replace(' ', '-')}"
    secret = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return net.scene.write(f"{folder}/cert.pem", pem(certificate).decode()), net.scene.write(f"{folder}/key.pem", secret.decode(), 0o600)
