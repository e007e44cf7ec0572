"""Media with a C2PA manifest, signed with a certificate made for the purpose."""

import datetime
import io
import json
from functools import lru_cache
from typing import Any

import c2pa
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

MADE_BY = "http://cv.iptc.org/newscodes/digitalsourcetype/"


def training(**uses: str) -> dict[str, Any]:
    """An assertion by name of the use, without its vendor, and what is said of it."""
    entries = {f"cawg.{name}": {"use": use} for name, use in uses.items()}
    return {"label": "cawg.training-mining", "data": {"entries": entries}}


def made(kind: str) -> dict[str, Any]:
    """An assertion that the file was made in a way that IPTC has a word for."""
    return {
        "label": "c2pa.actions",
        "data": {"actions": [{"action": "c2pa.created", "digitalSourceType": MADE_BY + kind}]},
    }


def signed(media: bytes, kind: str, *assertions: dict[str, Any], elsewhere: str | None = None) -> bytes:
    """Media of a type such as audio/wav with a manifest; or with the address of one, and none inside."""
    has_actions = any(one["label"] == "c2pa.actions" for one in assertions)
    told = [*assertions, *([] if has_actions else [made("digitalCapture")])]
    builder = c2pa.Builder(json.dumps({"claim_generator_info": [{"name": "tests"}], "assertions": told}))
    if elsewhere:
        builder.set_no_embed()
        builder.set_remote_url(elsewhere)
    chain, key = _credentials()
    signer = c2pa.Signer.from_info(c2pa.C2paSignerInfo(b"es256", chain, key, None))
    into = io.BytesIO()
    builder.sign(signer, kind, io.BytesIO(media), into)
    return into.getvalue()


@lru_cache(maxsize=1)
def _credentials() -> tuple[bytes, bytes]:
    """A chain of certificates and the key of the first, in PEM."""
    root, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    chain = [_certificate("tests", key, "root", root), _certificate("root", root, "root", root)]
    pem = b"".join(one.public_bytes(Encoding.PEM) for one in chain)
    return pem, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _certificate(
    name: str, key: ec.EllipticCurvePrivateKey, issuer: str, by: ec.EllipticCurvePrivateKey
) -> x509.Certificate:
    is_root, now = name == issuer, datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(_named(name))
        .issuer_name(_named(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=30))
        .add_extension(x509.BasicConstraints(ca=is_root, path_length=None), critical=True)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(by.public_key()), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(_usage(is_root), critical=True)
    )
    if not is_root:
        builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False)
    return builder.sign(by, hashes.SHA256())


def _named(name: str) -> x509.Name:
    return x509.Name(
        [x509.NameAttribute(NameOID.COMMON_NAME, name), x509.NameAttribute(NameOID.ORGANIZATION_NAME, "x")]
    )


def _usage(is_root: bool) -> x509.KeyUsage:
    no = dict.fromkeys(
        ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "crl_sign", "encipher_only",
         "decipher_only"), False,
    )  # fmt: skip
    return x509.KeyUsage(digital_signature=not is_root, key_cert_sign=is_root, **no)
