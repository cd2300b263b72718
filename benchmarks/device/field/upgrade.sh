#!/bin/sh
# upgrade.sh HOST FILE VERSION SHA256 [SSH OPTION...]: upgrades the agent of one device over ssh,
# in one session: the file comes in by standard input.
set -eu
host=$1 file=$2 version=$3 sha256=$4
shift 4
exec ssh "$@" "$host" "version=$version sha256=$sha256; $(cat "$0.remote")" <"$file"
