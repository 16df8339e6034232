#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# writewatch doctor: it must find the real Wine good and leave nothing behind; a fault must be a numbered fix, and the
# doctor must not print "Looks good." then. Small scripts stand for broken Wines. A program that hangs is not tried,
# because the doctor waits a minute for it.
. "$(dirname "$0")/env.sh"
. "$(dirname "$0")/../../common/expect.sh"
command -v wine >/dev/null || skip "wine is not installed"
[ -f "$build/programs/selftest.exe" ] || skip "selftest.exe was not built: mingw-w64 is missing"
need_kernel
unset WINEPREFIX LD_PRELOAD
here=$(mktemp -d)
trap 'rm -rf "$here"' EXIT
mkdir "$here/tmp"
# Debian's Wine 10.0 aborts if TMPDIR is set; with it, the test does not find files that are left in /tmp.
case $(wine --version) in
wine-10.*) unset TMPDIR ;;
*) export TMPDIR="$here/tmp" ;;
esac
all_said='^Looks good\.$'
fix_said='^To be mended:$'

nothing_left() {
    left=$(find "$here/tmp" -mindepth 1)
    [ -z "$left" ] || fail "$1 has left $left"
    left=$(grep -slF "WINEPREFIX=${TMPDIR:-/tmp}/writewatch-doctor-" /proc/[0-9]*/environ)
    [ -z "$left" ] || fail "$1 has left processes: $left"
}

# doctor CODE PATTERN ARGUMENT...
doctor() {
    code=$1 pattern=$2
    shift 2
    expect "$code" "$pattern" "$ww" doctor "$@"
    nothing_left "doctor $*"
    [ "$code" = 0 ] || ! said "$all_said" || fail "doctor $*: fixes, and looks good all the same"
}

# said PATTERN: whether the last doctor printed such a line.
said() {
    printf '%s\n' "$out" | grep -q -- "$1"
}

# must_say PATTERN...
must_say() {
    for line in "$@"; do
        said "$line" || fail "no line like \"$line\" in:
$out"
    done
}

# stand_in NAME: makes a Wine that runs the script on standard input for programs ($1 is the program), and the real Wine
# otherwise.
stand_in() {
    { printf '#!/bin/sh\ncase $1 in *.exe)\n' && cat && printf '\n;; esac\nexec wine "$@"\n'; } >"$here/$1"
    chmod +x "$here/$1"
}

# ---- nothing is wrong ----

doctor 0 "$all_said"
must_say '^kernel  *ok  ' '^wine  *ok   wine is wine-[0-9]' \
    '^64-bit  *ok   a Windows program has its write watches from the kernel: /.*/ntdll.so (.* calls, backend uffd)$'
said '^[a-z0-9-]*  *fix ' && fail "a fix where all is well: $out"
doctor 0 '^Looks good, as far as it was looked at\.$' --quick
said 'bit  *ok' && fail "--quick runs a program: $out"

"$ww" doctor --json >"$here/json" 2>"$here/said" || fail "--json: exit code $?: $(cat "$here/said")"
nothing_left "doctor --json"
if command -v python3 >/dev/null; then
    python3 - "$here/json" <<'END' || fail "--json: $(cat "$here/json")"
import json, sys
report = json.load(open(sys.argv[1]))
assert set(report) == {"version", "findings", "fixes", "program_run"}, report.keys()
assert report["fixes"] == 0 and report["program_run"] is True and isinstance(report["version"], str)
assert {f["subject"] for f in report["findings"]} >= {"kernel", "preload", "wine", "64-bit", "32-bit"}
for finding in report["findings"]:
    assert set(finding) == {"subject", "severity", "text", "remedy"}, finding
    assert finding["severity"] in ("ok", "note") and finding["text"] and finding["remedy"] is None, finding
END
else
    echo "--json: not tried: python3 is not installed"
fi

# ---- no Wine, no program, a backend that reports too much ----

doctor 0 "^wine  *note '/does/not/exist' is not installed" --wine=/does/not/exist
must_say '^Looks good, as far as it was looked at\.$'
printf '#!/bin/sh\nexit 1\n' >"$here/broken"
chmod +x "$here/broken"
doctor 1 "^1\. '$here/broken --version' prints no version: mend that Wine" --wine="$here/broken"
export WW_BACKEND=none
doctor 1 "^1\. with the backend 'none' pages count as written that were not: unset WW_BACKEND$" --quick
doctor 1 '^2\. a Windows program ended with exit code 1 and the wrong answer: mend the findings above first$'
unset WW_BACKEND

# ---- Wines that are broken ----

# Programs print nothing: with exit code 0 or 1, in a Wine that does nothing, and in one that works.
for code in 0 1; do
    printf '#!/bin/sh\n[ "$1" != --version ] || echo wine-8.0\ncase $1 in *.exe) exit %s ;; esac\n' $code >"$here/silent"
    chmod +x "$here/silent"
    doctor 1 "^1\. a Windows program ended with exit code $code and no answer: mend Wine first" --wine="$here/silent"
    must_say '^64-bit  *fix ' '^32-bit  *fix ' "$fix_said"
done
stand_in silent <<'END'
exec wine "$@" >/dev/null
END
doctor 1 "^1\. a Windows program ended with exit code 0 and no answer: see 'writewatch run --verbose'" --wine="$here/silent"
"$ww" doctor --wine="$here/silent" --json --quick | grep -q '"program_run": *false' || fail "--quick --json has run a program"

printf '#!/bin/sh\n[ "$1" = --version ] && echo wine-8.0\n' >"$here/no-prefix"
chmod +x "$here/no-prefix"
doctor 1 "^1\. a new Wine prefix could not be made (exit code not 0): .*mend that Wine" --wine="$here/no-prefix"

# Wine's own processes have the preload and the program does not, as where only the other word size is installed.
stand_in lost <<'END'
wine cmd.exe /c exit
unset LD_PRELOAD WW_STATS
END
doctor 1 '^1\. the preload was not loaded into a Windows program: install the preload for this word size' --wine="$here/lost"

# ---- two word sizes ----

# A process of the other word size, whose ntdll.so is a 32-bit file, prints its line before the program does.
mkdir "$here/other"
printf '\177ELF\001\001\001\0\0\0\0\0\0\0\0\0' >"$here/other/ntdll.so"
stand_in both <<END
echo "writewatch: attached to $here/other/ntdll.so (stdcall calls, backend uffd)"
case \$1 in *selftest32.exe) set -- "\${1%32.exe}.exe" ;; esac
END
doctor 0 "$all_said" --wine="$here/both"
must_say "^64-bit  *ok   .*: /.*/ntdll.so (" "^32-bit  *ok   .*: $here/other/ntdll.so (stdcall calls, backend uffd)$"
said "^64-bit.*$here/other" && fail "the 64-bit program is said to have a 32-bit ntdll.so: $out"

# A Wine of one word size is a note; a program that started and printed nothing has crashed.
stand_in one <<'END'
case $1 in *selftest32.exe) set -- "${1%32.exe}.exe" ;; *) exit 0 ;; esac
END
doctor 0 "$all_said" --wine="$here/one"
must_say '^64-bit  *note this Wine runs no programs of this word size$'
stand_in crash <<'END'
case $1 in *selftest32.exe) set -- "${1%32.exe}.exe" ;; *) wine "$@" >/dev/null; exit 5 ;; esac
END
doctor 1 '^1\. a Windows program ended with exit code 5 and no answer: see' --wine="$here/crash"

expect_usage_of doctor "unexpected 'x'" x
exit $failed
