#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# wine.sh OPTION...: runs tests/bench/native with these options, and with Windows programs
# as further peers: bench.exe under stock Wine and under the shim, for each Wine of WW_WINES:
#
#   host      the Wine that is installed
#   trixie    Wine 10.0 in a Debian 13 of its own (tests/system/debian/root.sh; needs root, a network once)
#   named     the one whose wine command WINE11 names, by its path
#
# Without WW_WINES: all that exist. Peers are called wine-VERSION and wine-VERSION-shim.
set -u
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../.." || exit 1
WW_BUILDDIR=$(cd "${WW_BUILDDIR:-build}" && pwd) || exit 1
export WW_BUILDDIR
wines=${WW_WINES:-host trixie${WINE11:+ named}}

if [ ! -f "$WW_BUILDDIR/tests/pe/bench.exe" ]; then
    echo "note no Windows programs take part: mingw-w64 is missing"
    wines=
fi

# way WINE: prints the command that runs in-wine.sh for it.
way() {
    case $1 in
    host | named) echo "sh $here/in-wine.sh" ;;
    *) echo "sh $here/../system/debian/root.sh $1 amd64 sh tests/bench/in-wine.sh" ;;
    esac
}

ready=
end() {
    for one in $ready; do
        $(way "$one") end "$one"
    done
}
trap end EXIT
trap 'exit 1' INT TERM
# Adds two arguments for native for each Wine.
nr=$#
for one in $wines; do
    if version=$($(way "$one") prepare "$one"); then
        ready="$ready $one"
        set -- "$@" "--command=wine-$version=$(way "$one") stock $one" "--command=wine-$version-shim=$(way "$one") shim $one"
    else
        echo "note wine=$one left out: $version"
    fi
done
[ $# != "$nr" ] || [ "$*" = "${*#*--only-commands}" ] || exit 77
"$WW_BUILDDIR/tests/bench/native" "$@"
