"""Signs assertions with a client's registered key, for the flows that show one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey

from firnline.connections.clients import ClientCredentials
from firnline.connections.site import Site
from firnline.errors import UsageError

CLIENT_ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


class ClientKeyInvalidError(UsageError):
    """The registered key cannot sign an assertion that the provider takes."""

    code = "client_key_invalid"


def sign(
    site: Site,
    client: ClientCredentials,
    claims: Mapping[str, Any],
    *,
    algorithms: tuple[str, ...],
    header: Mapping[str, str],
) -> str:
    """Return `claims` signed by the client's key with its algorithm, or the first of those allowed.

    Raises ClientKeyInvalidError.
    """
    place = site.destination.label
    algorithm = client.algorithm or algorithms[0]
    if client.private_key_pem is None or algorithm not in algorithms:
        raise ClientKeyInvalidError(
            f"{place}: a private key for {' or '.join(algorithms)} is needed",
            hint=f"Run: firnline connect {site.tenant} {site.name} --client-id ID "
            "--key-file PEM, with --key-id ID where the provider names its keys.",
        )
    kind = ECKey if algorithm.startswith("ES") else RSAKey
    try:
        key = kind.import_key(client.private_key_pem.get_secret_value())
        return jwt.encode(
            {"typ": "JWT", **header, "alg": algorithm}, dict(claims), key, algorithms=[algorithm]
        )
    except (JoseError, ValueError, TypeError):
        # The cause may quote the key: its text is dropped.
        raise ClientKeyInvalidError(
            f"{place}: the registered key cannot sign with {algorithm}",
            hint="Register the private key as PEM, of the kind that the algorithm needs.",
        ) from None
