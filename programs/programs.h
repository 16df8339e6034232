/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The subcommands of `writewatch`, a file each; main.c has their table. Shared parts are in
 * common/, counters/ (what the preload publishes) and launch/ (running a command); the parts of one
 * subcommand are in a folder of its name. All use the public contract alone: nothing here may include the
 * engine's internal headers, and bench/bare.c takes the kernel's own interface from uapi.h.
 */
#ifndef WW_PROGRAMS_H
#define WW_PROGRAMS_H

extern const char bench_help[], doctor_help[], plot_help[], probe_help[], record_help[], run_help[],
    scan_help[], top_help[];
int bench_main(int argc, char **argv);
int doctor_main(int argc, char **argv);
int plot_main(int argc, char **argv);
int probe_main(int argc, char **argv);
int record_main(int argc, char **argv);
int run_main(int argc, char **argv);
int scan_main(int argc, char **argv);
int top_main(int argc, char **argv);

#endif
