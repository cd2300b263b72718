"""What can go wrong on the way to the operator of a cluster, beside what can anywhere."""

from typing import ClassVar

from harmony_fleet.cli.errors import BAD_INPUT, CommandFailed

PAGE = "docs/kubectl-fleet.md"
"""Which says what a user's role has to allow."""


class KubernetesMissing(CommandFailed):
    """What talks to a cluster is not installed along."""

    kind = "kubernetes_missing"
    exit_status: ClassVar[int] = BAD_INPUT

    def __init__(self) -> None:
        super().__init__(
            "a cluster is reached by lightkube, which is not installed here: run "
            "`pip install 'harmony-fleet[kubernetes]'`"
        )


class NoKubeconfig(CommandFailed):
    """No file says where a cluster is. Nothing was sent."""

    kind = "no_kubeconfig"
    exit_status: ClassVar[int] = BAD_INPUT


class KubeconfigUnusable(CommandFailed):
    """A file is there, and cannot be used, or not by this command. Nothing was sent."""

    kind = "kubeconfig_unusable"
    exit_status: ClassVar[int] = BAD_INPUT


class UnknownContext(CommandFailed):
    """Nothing was sent."""

    kind = "unknown_context"
    exit_status: ClassVar[int] = BAD_INPUT


class LoginFailed(CommandFailed):
    """The cluster does not take who this says it is, or its login program gave nothing."""

    kind = "cluster_login"
    retryable = True  # by a token that is fetched anew


class ClusterUnreachable(CommandFailed):
    """The API server does not answer. Nothing was sent to the operator."""

    kind = "cluster_unreachable"
    retryable = True


class NotAllowed(CommandFailed):
    """The user's role does not allow it. The operator was not asked."""

    kind = "forbidden"


class NoOperator(CommandFailed):
    """There is no such Service, or nothing of it that could be asked."""

    kind = "no_operator"


class NoReplica(CommandFailed):
    """The Service is there, and nobody behind it answers."""

    kind = "no_replica"
    retryable = True
