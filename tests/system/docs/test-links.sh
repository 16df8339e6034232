#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Each relative link of the documents must lead to a file in the tree and in the source archive, and to one of its
# headings. Each path below tests/ that any text names must be in the tree, or be made by the build. The Debian package
# that has README.md must have the files that README.md links, where the links lead. README.md must be short.
top=$(cd "$(dirname "$0")/../../.." && pwd)
build=$(cd "${WW_BUILDDIR:-build}" && pwd)
failed=0

fail() {
    printf 'FAILED: %s\n' "$*"
    failed=1
}

cd "$top" || exit 1

# value VARIABLE...: prints the words of variables of the Makefile.
value() {
    names=$(printf '$(%s) ' "$@")
    (cd "$build" && printf 'print-value:\n\t@printf "%%s\\n" %s\n' "$names" |
        env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL make -s -f Makefile -f - print-value)
}

# Automake's list of the archive's files, as `make distdir` reads it.
archived=$(value DISTFILES)
case $archived in
*configure.ac*) ;;
*)
    fail "no list of the source archive's files: $archived"
    exit 1
    ;;
esac

# in_archive FILE: the archive has it, or a folder that it lies in.
in_archive() {
    entry=$1
    while [ "$entry" != . ]; do
        printf '%s\n' "$archived" | grep -qxF -- "$entry" && return
        entry=$(dirname "$entry")
    done
    return 1
}

# dh_installdocs installs a file beside README.md, without its folder, and a folder as a whole.
package=$(grep -lx README.md debian/*.docs)
[ "$(echo "$package" | wc -w)" = 1 ] || fail "README.md is not in one Debian package: $package"
in_package() {
    grep -qx -- "${1%%/*}" "$package"
}

# links FOLDER DOCUMENT
links() {
    awk -f tests/system/docs/links.awk "$2" | sort -u >"$list"
    nr=0
    while IFS= read -r link; do
        nr=$((nr + 1))
        file=${link%%#*}
        target=$(realpath -m --relative-to=. "$1/$file")
        [ -n "$file" ] || target=$2
        if [ ! -e "$target" ]; then
            fail "$2: there is no $link"
            continue
        fi
        in_archive "$target" || fail "$2: $target is not in the source archive"
        [ "$2" != README.md ] || in_package "$target" || fail "$2: $target is not in $package"
        case $link in
        *'#'*)
            awk -v anchors=1 -f tests/system/docs/links.awk "$target" | grep -qxF -- "${link#*#}" ||
                fail "$2: $target has no heading for #${link#*#}"
            ;;
        esac
    done <"$list"
    in_archive "$2" || fail "$2 is not in the source archive"
    echo "$2: $nr links"
}

list=$(mktemp) && texts=$(mktemp) || exit 1
trap 'rm -f "$list" "$texts"' EXIT
for document in *.md docs/*.md docs/*/*.md; do
    links "$(dirname "$document")" "$document"
done

# ---- paths below tests/ ----

{
    find tests
    value check_PROGRAMS EXTRA_PROGRAMS check_DATA noinst_DATA CLEANFILES CLEAN_FOLDERS
} >"$list"
printf '%s\n' "$archived" | sed 's|^\.\./||; /^Makefile.in$\|^build-aux\/\|^configure$/d' | while IFS= read -r file; do
    [ ! -f "$file" ] || ! grep -qI 'tests/\|%D%' "$file" || printf '%s\n' "$file"
done | sort -u >"$texts"
[ "$(wc -l <"$texts")" -gt 50 ] || fail "only $(wc -l <"$texts") texts name a path below tests/"
unknown=$(xargs awk -f tests/system/docs/paths.awk "$list" <"$texts" | sort -u)
[ -z "$unknown" ] || fail "there is no
$unknown"
echo "$(wc -l <"$texts") texts name paths below tests/"

# ---- README.md ----

words=$(wc -w <README.md)
[ "$words" -le 1200 ] || fail "README.md has $words words"
# dh_compress would compress files with another ending, and links to them would break.
grep -q 'dh_compress.*-X\.md' debian/rules || fail "debian/rules compresses documents, so that links between them break"
exit $failed
