#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# What bash completes: subcommands, the options of each as its help has them, and a command behind `run`.
. "$(dirname "$0")/../../common/expect.sh"
command -v bash >/dev/null || {
    echo "skipped: bash is not installed"
    exit 77
}
top=$(cd "$(dirname "$0")/../../.." && pwd)

# completes WORDS WORD EXPECTED: the words before the one that is completed, that word, and the completions, sorted.
completes() {
    out=$(bash -c '
        . "$0"
        COMP_WORDS=("$1") && shift
        for word; do COMP_WORDS+=("$word"); done
        COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
        _writewatch
        printf "%s\n" "${COMPREPLY[@]}"' "$top/programs/completion.bash" "$ww" $1 "${2-}" | sort | tr '\n' ' ')
    [ "$out" = "$3 " ] || fail "writewatch $1 ${2-}: '$out', not '$3 '"
}

completes '' p 'plot probe'
completes '' d doctor
completes help t top
completes top -- '--help --interval= --json --pid='
completes doctor --w '--wine='
completes run --st '--stats='
completes 'run --' "$top/READM" "$top/README.md"
completes 'run --verbose --' --verb ''
for subcommand in $("$ww" --help | sed -n 's/^  \([a-z]*\)  *[a-z].*/\1/p' | grep -vx writewatch); do
    completes '' "$subcommand" "$subcommand"
    for option in $("$ww" "$subcommand" --help | grep -oE '^  (-h, )?--[a-z-]+' | sed 's/.*--/--/'); do
        out=$(bash -c '. "$0"; COMP_WORDS=("$1" "$2" "$3"); COMP_CWORD=2; _writewatch; echo "${COMPREPLY[@]}"' \
            "$top/programs/completion.bash" "$ww" "$subcommand" "$option")
        case " $out " in
        *" $option "* | *" $option= "*) ;;
        *) fail "writewatch $subcommand $option is not completed" ;;
        esac
    done
done
exit $failed
