"""The login program that a kubeconfig may name: run once, for a token or a certificate.

Its stderr is the user's own, since it may ask there to open a page. The protocol:
https://kubernetes.io/docs/reference/config-api/client-authentication.v1/
"""

import base64
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from typing import Any, Final

from harmony_fleet.cli.cluster_errors import KubeconfigUnusable, LoginFailed

GROUP: Final = "client.authentication.k8s.io"
VERSIONS: Final = ("v1", "v1beta1", "v1alpha1")

Document = dict[str, Any]


def logged_in(user: Document) -> Document:
    """The user with what its program gave; without one, the user as it is.

    Raises LoginFailed, KubeconfigUnusable.
    """
    program = user.get("exec")
    if not program:
        return user
    given = _status(program)
    found: Document = {"token": given.get("token")}
    if certificate := given.get("clientCertificateData"):
        found["client-certificate-data"] = _encoded(certificate)
        found["client-key-data"] = _encoded(given.get("clientKeyData", ""))
    return {name: value for name, value in found.items() if value}


def _encoded(pem: str) -> str:
    """As a kubeconfig has it."""
    return base64.b64encode(pem.encode()).decode()


def _status(program: Document) -> Document:
    try:
        command, version = str(program["command"]), str(program["apiVersion"])
        argv = [command, *(str(word) for word in program.get("args") or ())]
        added = {str(one["name"]): str(one["value"]) for one in program.get("env") or ()}
    except (KeyError, TypeError) as error:
        raise KubeconfigUnusable(f"the kubeconfig's `exec` lacks or mistypes {error}") from error
    if version not in {f"{GROUP}/{one}" for one in VERSIONS}:
        raise KubeconfigUnusable(f"the kubeconfig's `exec` is of {version}, which is unknown here")
    output = _run(argv, {**_environment(version), **added}, program.get("installHint"))
    try:
        status = json.loads(output)["status"]
        if not (status.get("token") or status.get("clientCertificateData")):
            raise ValueError("neither a token nor a certificate")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise LoginFailed(f"what {command} gave is no login ({error})") from error
    return dict(status)


def _environment(version: str) -> Mapping[str, str]:
    spec = {"interactive": sys.stdin.isatty()}
    asked = {"apiVersion": version, "kind": "ExecCredential", "spec": spec}
    return {**os.environ, "KUBERNETES_EXEC_INFO": json.dumps(asked)}


def _run(argv: list[str], environment: Mapping[str, str], hint: object) -> bytes:
    try:
        ran = subprocess.run(argv, env=environment, stdout=subprocess.PIPE, check=False)
    except OSError as error:
        more = f"; {' '.join(str(hint).split())}" if hint else ""
        raise LoginFailed(
            f"the login program {argv[0]} cannot be run ({error.strerror or error}){more}"
        ) from error
    if ran.returncode:
        raise LoginFailed(f"the login program {argv[0]} failed with status {ran.returncode}")
    return ran.stdout
