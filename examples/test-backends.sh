#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Each example in each way that it can work: those that watch memory on each backend
# that is right while threads write, dump-pages by the ioctl and by reads. What a
# backend or this machine cannot do, the example says itself, by exit code 77.
build=${WW_BUILDDIR:-build}
ran=0 failed=0

# run VARIABLE=VALUE EXAMPLE [ARGUMENT]
run() {
    said=$(env "$1" "$build/examples/$2" $3 2>&1)
    status=$?
    echo "$1 $2: exit code $status: $said"
    case $status in
    0) ran=$((ran + 1)) ;;
    77) ;;
    *) failed=1 ;;
    esac
}

for backend in uffd uffd-sync mprotect none; do
    for example in lazy-restore remembered-set texture-cache; do
        run WW_BACKEND=$backend $example
    done
    run WW_BACKEND=$backend snapshot 0.5
done
run WW_PAGEMAP=ioctl dump-pages
run WW_PAGEMAP=read dump-pages
[ $failed = 0 ] || exit 1
[ $ran != 0 ] || { echo "SKIP: no example could run"; exit 77; }
