#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# container.sh: runs `writewatch run` outside and Wine inside a container that is laid out like the Steam Linux
# Runtime: /usr of a Debian 11 (glibc 2.31), the home folder at its own path with Wine, the command and the preload in
# it, as they were built here, the host below /run/host. The preload must attach there; where its path does not exist
# inside, the program must run without it. Needs bubblewrap, and root the first time (wine.sh); called by root, the
# container's programs run as nobody.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../debian/debian.sh"
. "$here/../debian/fresh.sh"
. "$here/wine.sh"
build=$(cd "${WW_BUILDDIR:-build}" && pwd)
name=libwritewatch-ntdll.so
failed=0

verdict() {
    printf '%s\n' "$*"
    case $1 in FAILED:*) failed=1 ;; esac
}

# Lays the folders out in /var/tmp: the user nobody cannot enter every build folder, and they take a gigabyte.
lay_out() {
    work=$(mktemp -d "${TMPDIR:-/var/tmp}/writewatch-container.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    trap 'exit 1' INT TERM
    runtime=$work/runtime home=$work/home elsewhere=$work/elsewhere
    mkdir "$runtime" "$home" "$home/wine"
    base=$cache/packages-base-bullseye-amd64.tar
    [ -f "$base" ] || fresh bullseye amd64 "$work/fresh"
    tar -C "$runtime" -xf "$base" ./usr ./etc
    tar -C "$home/wine" -xf "$wine_archive"
    for place in "$home" "$elsewhere"; do
        install -D -t "$place/bin" "$build/writewatch"
        install -D -t "$place/lib/writewatch" "$build/.libs/$name"
    done
    cp "$build/tests/pe/watch.exe" "$build/tests/pe/conformance.exe" "$home/"
    chmod -R a+rX "$work"
}

# Prints the container's command: as pressure-vessel's, without the graphics drivers (docs/CONTAINERS.md).
contain() {
    echo bwrap --die-with-parent --unshare-pid --ro-bind "$runtime/usr" /usr --ro-bind "$runtime/etc" /etc \
        --symlink usr/bin /bin --symlink usr/sbin /sbin --symlink usr/lib /lib --symlink usr/lib64 /lib64 \
        --ro-bind / /run/host --ro-bind /sys /sys --proc /proc --dev /dev --tmpfs /tmp --bind "$home" "$home" \
        --setenv HOME "$home" --setenv WINEPREFIX "$home/prefix" --setenv WINEDEBUG -all \
        --setenv WINEDLLOVERRIDES winemenubuilder.exe,mscoree,mshtml= --chdir "$home"
}

# The container ends with its first process, so that process waits for Wine's server.
wine='timeout 300 wine/bin/wine "$@"; code=$?; timeout 60 wine/bin/wineserver -w; exit $code'

# runs COMMAND...: runs a Windows program in the container by COMMAND. $answers is its output, and its exit code unless
# that is 0; $said is what is on standard error.
runs() {
    answers=$($as "$@" sh -c "$wine" sh watch.exe 2>"$work/said" </dev/null || echo "exit code $?")
    answers=$(printf '%s\n' "$answers" | tr -d '\r' | tr '\n' ',')
    said=$(sort -u "$work/said")
}

# expect WHAT PATTERN: the answers must be right, and $said must be lines that match PATTERN, at least one.
expect() {
    if [ "$answers" != 'dirty pages: 1 5 9,dirty pages: 2,' ]; then
        verdict "FAILED: $1: the program says $answers and besides: ${said:-nothing}"
    elif ! printf '%s\n' "$said" | grep -q "$2" || printf '%s\n' "$said" | grep -qv "$2"; then
        verdict "FAILED: $1: right answers, but this is said: ${said:-nothing}"
    else
        verdict "ok: $1: right answers; said: $said"
    fi
}

# The conformance program must pass. Stock Wine does not pass it (docs/evidence/CONFORMANCE.md).
conforms() {
    if told=$($as "$home/bin/writewatch" run -- $container sh -c "$wine" sh conformance.exe strict 2>&1 \
        </dev/null); then
        verdict "ok: conformance.exe: $(echo "$told" | tail -n 1)"
    else
        verdict "FAILED: conformance.exe: $told"
    fi
}

command -v bwrap >/dev/null || skip "bwrap is not installed (Debian: bubblewrap)"
for file in watch.exe conformance.exe; do
    [ -f "$build/tests/pe/$file" ] || skip "tests/pe/$file is not built (make check)"
done
"$build/writewatch" probe >/dev/null || skip "userfaultfd write tracking does not work here"
old_glibc_wine
lay_out
as=
if [ "$(id -u)" = 0 ]; then
    as="setpriv --reuid=65534 --regid=65534 --clear-groups"
    chown 65534:65534 "$home"
fi
container=$(contain)
$as $container true || skip "bwrap makes no container here"
$as $container sh -c "$wine" sh wineboot -i >"$work/said" 2>&1 </dev/null || {
    tail -n 5 "$work/said"
    skip "Wine makes no prefix in the container"
}
echo "in the container: $($as $container sh -c 'ldd --version | sed -n "1s/.* /glibc /p"; wine/bin/wine --version' |
    tr '\n' ' ')"
attached='^writewatch: attached to .*/ntdll\.so (sysv calls, backend uffd)$'
runs "$home/bin/writewatch" run --verbose -- $container
expect "the preload in the home folder" "$attached"
conforms
runs $container --setenv WW_DEBUG 1 --setenv LD_PRELOAD "/run/host$elsewhere/lib/writewatch/$name"
expect "the preload below /run/host" "$attached"
runs "$elsewhere/bin/writewatch" run --verbose -- $container
expect "the preload at a path not inside" "^ERROR: ld\.so: object '.*/$name' from LD_PRELOAD cannot be preloaded"
runs $container
[ -n "$said" ] || said=nothing
expect "no preload" '^nothing$'
exit $failed
