"""Which cluster a user means, and as whom: the kubeconfig, read as kubectl reads it.

Several files in $KUBECONFIG are merged, the first one that names a thing wins, and a relative path
in a file is relative to that file. Without any file, a pod's service account. What lightkube would
leave out in silence is refused: it would reach another server, or as somebody else.
"""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
import yaml
from lightkube import ConfigError, KubeConfig, SingleConfig
from lightkube.config.models import User

from harmony_fleet.cli.cluster_errors import KubeconfigUnusable, NoKubeconfig, UnknownContext
from harmony_fleet.cli.exec_plugin import logged_in

DEFAULT: Final = "~/.kube/config"
_LISTS: Final = {"clusters": "cluster", "contexts": "context", "users": "user"}
_PATHS: Final = ("certificate-authority", "client-certificate", "client-key", "tokenFile")
_NOT_DONE: Final = {
    "cluster": ("proxy-url", "tls-server-name"),
    "user": ("as", "as-uid", "as-groups", "as-user-extra", "auth-provider"),
}

Document = dict[str, Any]


def chosen_configuration(file: Path | None, context: str | None) -> SingleConfig:
    """Also asks the login program that it names, if it names one.

    Raises NoKubeconfig, KubeconfigUnusable, UnknownContext, LoginFailed.
    """
    found = [one for one in _files(file) if one.is_file()]
    if not found:
        return _of_the_pod(file, context)
    merged = _merged(found)
    name = context or merged["current-context"]
    named = ", ".join(str(one) for one in found)
    if not name:
        raise UnknownContext(
            f"no context is the current one in {named}: name one by --context, of {_known(merged)}"
        )
    if name not in merged["contexts"]:
        raise UnknownContext(f"there is no context {name} in {named}, only {_known(merged)}")
    return _one(merged, name, named)


def _files(named: Path | None) -> list[Path]:
    if named is not None:
        return [named]
    listed = os.environ.get("KUBECONFIG") or DEFAULT
    return [Path(one).expanduser() for one in listed.split(os.pathsep) if one]


def _known(merged: Document) -> str:
    return ", ".join(sorted(merged["contexts"])) or "none at all"


def _merged(files: Iterable[Path]) -> Document:
    """By list and name; of each name the first one."""
    merged: Document = {of: {} for of in _LISTS} | {"current-context": ""}
    for file in files:
        document = _read(file)
        for of, inner in _LISTS.items():
            for one in document.get(of) or ():
                entry = _rooted(one.get(inner) or {}, file.parent)
                merged[of].setdefault(one["name"], entry)
        merged["current-context"] = merged["current-context"] or document.get("current-context")
    return merged


def _read(file: Path) -> Document:
    try:
        document = yaml.safe_load(file.read_text("utf-8")) or {}
        for of in _LISTS:
            for one in document.get(of) or ():
                if not isinstance(one["name"], str):
                    raise TypeError(f"a name in {of} is no text")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError) as error:
        words = " ".join(str(error).split())
        raise KubeconfigUnusable(
            f"{file} is no kubeconfig ({words}): name another by --kubeconfig"
        ) from error
    return dict(document)


def _rooted(entry: Document, folder: Path) -> Document:
    """A login program's name without a slash is looked for as a shell does."""
    folder = folder.absolute()
    rooted = entry | {name: str(folder / entry[name]) for name in _PATHS if entry.get(name)}
    program = entry.get("exec") or {}
    if "/" in str(program.get("command", "")):
        rooted["exec"] = program | {"command": str(folder / program["command"])}
    return rooted


def _one(merged: Document, name: str, files: str) -> SingleConfig:
    context = merged["contexts"][name]
    cluster = merged["clusters"].get(context.get("cluster"))
    user = merged["users"].get(context.get("user"), {})
    if not isinstance(cluster, Mapping) or not cluster.get("server"):
        raise KubeconfigUnusable(f"context {name} names no cluster that is in {files}: mend it")
    for kind, entry in (("cluster", cluster), ("user", user)):
        for key in _NOT_DONE[kind]:
            if entry.get(key):
                raise KubeconfigUnusable(
                    f"`{key}` of the {kind} of context {name} is not supported here: use a context "
                    "without it"
                )
    document = {
        "clusters": [{"name": "it", "cluster": cluster}],
        "users": [{"name": "it", "user": logged_in(user)}],
        "contexts": [{"name": name, "context": {**context, "cluster": "it", "user": "it"}}],
    }
    try:
        found = KubeConfig.from_dict(document).get(name)
    except (ConfigError, KeyError, TypeError, msgspec.MsgspecError) as error:
        raise KubeconfigUnusable(f"context {name} of {files} cannot be used: {error}") from error
    assert found is not None  # noqa: S101 - it was named
    return found


def _of_the_pod(file: Path | None, context: str | None) -> SingleConfig:
    if file is None and context is None:
        try:
            found = KubeConfig.from_service_account().get()
        except (ConfigError, KeyError, OSError):
            found = None
        if found is not None:
            return found if found.user else found._replace(user=User())
    looked = ", ".join(str(one) for one in _files(file))
    raise NoKubeconfig(
        f"no kubeconfig is there ({looked}): name one by --kubeconfig or $KUBECONFIG"
    )
