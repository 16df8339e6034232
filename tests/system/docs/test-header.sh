#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Each installed header must compile as the only and first one: as C11, gnu11 and C++17, with all warnings as errors,
# for 32 bits too where the compiler can. A C++ program must link against the library of this build and run.
top=$(cd "$(dirname "$0")/../../.." && pwd)
build=$(cd "${WW_BUILDDIR:-build}" && pwd)
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
failed=0

fail() {
    echo "FAILED: $*"
    failed=1
}

# compiles HEADER LANGUAGE COMMAND...
compiles() {
    header=$1 language=$2
    shift 2
    echo "#include <$header>" >"$work/one.$language"
    said=$("$@" -pedantic -Wall -Wextra -Werror -I"$top/include" -fsyntax-only "$work/one.$language" 2>&1) ||
        fail "$header, $*: $said"
}

for word in '' -m32; do
    [ -z "$word" ] || echo '#include <stdint.h>' | gcc $word -x c -fsyntax-only - 2>/dev/null || {
        echo "this compiler has no 32-bit C library: not tried"
        continue
    }
    for path in "$top"/include/*.h; do
        header=$(basename "$path")
        compiles "$header" c gcc $word -std=c11
        compiles "$header" c gcc $word -std=gnu11
        ! command -v g++ >/dev/null || [ -n "$word" ] || compiles "$header" cc g++ -std=c++17
    done
done

# The library must have its own text for each error that a header names.
{
    printf '#include <errno.h>\n#include <stdio.h>\n#include <string.h>\n#include <writewatch.h>\n'
    printf 'static int check(int error, const char *name)\n{\n    const char *words = ww_strerror(-error);\n'
    printf '    int missing = !strcmp(words, "unknown error") || !strcmp(words, strerror(error));\n'
    printf '    if (missing) printf("%%s: %%s\\n", name, words);\n    return missing;\n}\n'
    printf 'int main(void)\n{\n    int nr = 0;\n'
    cat "$top"/include/*.h | grep -oE -e '-E[A-Z]+' | sort -u | sed 's/-\(.*\)/    nr += check(\1, "\1");/'
    printf '    return nr;\n}\n'
} >"$work/words.c"
[ "$(grep -c 'nr += check' "$work/words.c")" -gt 15 ] || fail "the headers name too few errors"
${WW_CC:-cc} -Wall -Werror -I"$top/include" -o "$work/words" "$work/words.c" -L"$build/.libs" -lwritewatch &&
    LD_LIBRARY_PATH="$build/.libs" "$work/words" || fail "ww_strerror()"

command -v g++ >/dev/null || {
    echo "C++: not tried: g++ is not installed"
    exit $failed
}
cat >"$work/program.cc" <<'END'
#include <writewatch.h>
#include <writewatch-pagemap.h>
#include <writewatch-win32.h>
#include <cstring>

int main()
{
    struct ww_probe probes[8]; // the function has the same name
    return ww_probe(probes, 8) > 0 && std::strlen(ww_version()) ? 0 : 1;
}
END
g++ -std=c++17 -Wall -Wextra -Werror -I"$top/include" -o "$work/program" "$work/program.cc" -L"$build/.libs" -lwritewatch &&
    LD_LIBRARY_PATH="$build/.libs" "$work/program" || fail "a C++ program"
exit $failed
