#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# check-docs.sh [SUITE]: runs the commands that README.md and CONTRIBUTING.md tell a newcomer to type: as an ordinary
# user with sudo, in a fresh Debian (bookworm) that has git and nothing else, in a clone of HEAD, by run-readme.sh.
# Needs root, a network and about half an hour. The transcript is docs/SUITE.transcript in the build folder.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../../.." && pwd)
. "$here/../debian/debian.sh"
. "$here/../debian/fresh.sh"
build=$(cd "${WW_BUILDDIR:-build}" && pwd)
suite=${1:-bookworm}
root=$cache/docs-$suite
transcript=$build/docs/$suite.transcript

[ "$(id -u)" = 0 ] || skip "a chroot needs root"
command -v git >/dev/null && [ -e "$top/.git" ] || skip "no git repository to clone"
fresh "$suite" amd64 "$root"
git clone -q --bare "$top" "$root/srv/writewatch.git"
mkdir -p "$build/docs"
code=0
in_debian "$root" amd64 DEBIAN_FRONTEND=noninteractive sh -euc '
    apt-get -qq update
    apt-get -qq install -y --no-install-recommends sudo git ca-certificates procps >/dev/null
    useradd --create-home --shell /bin/bash newcomer
    echo "newcomer ALL=(ALL) NOPASSWD: ALL" >/etc/sudoers.d/newcomer
    # Nobody is there to answer.
    echo "Defaults env_keep += DEBIAN_FRONTEND" >>/etc/sudoers.d/newcomer
    echo "APT::Get::Assume-Yes \"true\";" >/etc/apt/apt.conf.d/90assume-yes
    chown -R newcomer /srv/writewatch.git
    exec runuser --login newcomer --whitelist-environment=DEBIAN_FRONTEND -c "
        git clone -q /srv/writewatch.git writewatch
        cd writewatch
        exec sh tests/system/docs/run-readme.sh"
' >"$transcript" 2>&1 || code=$?
cat "$transcript"
[ $code != 0 ] || rm -rf "$root"
exit $code
