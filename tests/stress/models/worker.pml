/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A worker that was made in advance (linux/kernel/worker.c), two threads that have a job for it, and one that ends it.
 * A word holds the worker's state and counts its jobs; threads that wait sleep in a futex until the word changes.
 *
 * Each of the two gives one job, if the worker is idle, and waits for its end or does not. When both have ended, the
 * third ends the worker, or detaches it with a job that is not done (ORPHAN, which worker.c calls DETACHED). Checked: a
 * job that was given runs once, with its own argument, and is done for the thread that waits for it; and no thread
 * sleeps forever.
 *
 * Each mutation takes a guard away, and must fail:
 *   NO_CLAIM     a thread does not claim the worker before it sets the job: one job replaces another
 *   NO_COMPARE   the futex does not compare the word before a thread sleeps: the wake may come before the sleep
 *   NO_ORPHAN    the third tells a busy worker to leave, and the end of its job overwrites that
 *
 * MUTATIONS: -DNO_CLAIM -DNO_COMPARE -DNO_ORPHAN
 */
mtype = { IDLE, CLAIMED, BUSY, ORPHAN, LEAVING };

mtype state = IDLE;
byte turn;              /* the rest of the word */
byte arg;               /* the job that the worker is to run */
bool asleep[5];         /* by process */
byte nr_runs[3];        /* of each job */
bool has_left;
byte nr_over;           /* givers that have ended */

inline wake()
{
    d_step { asleep[0] = 0; asleep[1] = 0; asleep[2] = 0; asleep[3] = 0; asleep[4] = 0 }
}

/* sleep_while(): the kernel compares the word and puts the thread to sleep in one step. */
inline sleep_while(seen, seen_turn)
{
    d_step {
        if
#ifndef NO_COMPARE
        :: state == seen && turn == seen_turn -> asleep[_pid] = 1
        :: else
#else
        :: asleep[_pid] = 1
#endif
        fi
    }
    !asleep[_pid]
}

proctype Worker()
{
    mtype seen;
    byte seen_turn;

    do
    :: d_step { seen = state; seen_turn = turn }
       if
#ifndef NO_ORPHAN
       :: seen == ORPHAN ->
           nr_runs[arg]++;
           break
#endif
       :: seen == BUSY ->
           nr_runs[arg]++;
           if
           :: atomic { state == BUSY && turn == seen_turn -> state = IDLE }
               wake()
#ifdef NO_ORPHAN
           :: atomic { state == LEAVING -> state = IDLE }
#else
           :: state == ORPHAN -> break
#endif
           fi
       :: seen == LEAVING -> break
       :: else -> sleep_while(seen, seen_turn)
       fi
    od;
    has_left = 1
}

proctype Giver(byte job)
{
    byte my_turn;

    if
#ifdef NO_CLAIM
    :: state == IDLE -> my_turn = turn + 1
#else
    :: atomic { state == IDLE -> state = CLAIMED; turn++; my_turn = turn }
#endif
        arg = job;
        d_step { state = BUSY; turn = my_turn }
        wake();
        if
        :: true ->
            do
            :: state == BUSY && turn == my_turn -> sleep_while(BUSY, my_turn)
            :: else -> break
            od;
            assert(nr_runs[job] == 1)
        :: true
        fi
    :: else
    fi;
    nr_over++
}

proctype Ender()
{
    nr_over == 2;
    if
#ifndef NO_ORPHAN
    :: atomic { state == BUSY -> state = ORPHAN }
        has_left;
        assert(nr_runs[1] + nr_runs[2] > 0)
    :: else ->
#else
    :: true ->
#endif
        state = LEAVING;
        wake();
        has_left
    fi;
    assert(nr_runs[1] <= 1 && nr_runs[2] <= 1)
}

init {
    atomic {
        run Worker();
        run Giver(1);
        run Giver(2);
        run Ender()
    }
}
