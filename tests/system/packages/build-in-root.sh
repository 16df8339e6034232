#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# build-in-root.sh ARCHIVE FOLDER [lintian]: inside a fresh Debian, builds the packages from the source archive, with
# the packages that debian/control asks for and no others, and puts them into FOLDER; then runs lintian on them.
set -eu
archive=$1 out=$2 lintian=${3:-}
export DEBIAN_FRONTEND=noninteractive
apt-get -qq update
apt-get -qq install -y --no-install-recommends build-essential xz-utils >/dev/null
mkdir -p /srv/build
cd /srv/build
tar -xf "$archive"
cd writewatch-*
apt-get -qq build-dep -y --no-install-recommends ./ >/dev/null
DEB_BUILD_OPTIONS=parallel=2 dpkg-buildpackage -us -uc
cp ../*.deb ../*.dsc ../*.changes "$out"
[ -n "$lintian" ] || exit 0
apt-get -qq install -y --no-install-recommends lintian >/dev/null
echo "lintian $(dpkg-query -W -f '${Version}' lintian):"
lintian --allow-root --fail-on error,warning --suppress-tags bad-distribution-in-changes-file,unreleased-changes ../*.dsc ../*.deb
