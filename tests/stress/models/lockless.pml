/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Questions that are asked without a lock (linux/lockless.c), about one page.
 *
 * A thread asks without the lock, with or without a reset, while others write, answer with
 * the lock, move the page's bit into the latch (VirtualProtect), and give the memory to another
 * tracker of the process. Checked: who asks is never told "clean" about a write that was over
 * before the question and that nobody else was told of since, and in the end every
 * write was told or can still be asked for, whoever tracks the page by then.
 *
 * Each of these takes a guard away, and must show a fault:
 *   RESETS       the question resets without the lock, and gives back what it took in vain
 *   UNCHECKED    the epoch is not looked at again behind the scan
 *   LATE         an epoch ends behind a change, not before it
 *
 * MUTATIONS: -DRESETS -DUNCHECKED -DLATE
 */
#define OURS 0
#define OTHERS 1

bit dirty;       /* the kernel's bit of the page */
bit latched;     /* our latch */
bit tracker;     /* whose the page is */
byte epoch = 1;  /* of the region */
byte noted;      /* the epoch that the note about the question was made in; 0: none */
bit locked;      /* the region's lock */

bit owed[2];     /* a write was made under this tracker, and nobody was told yet */
byte nr_told;    /* how often somebody was told of a write under ours */

#define LOCK atomic { !locked -> locked = 1 }
#define UNLOCK locked = 0

inline end_epoch() { epoch++ }

/* A resetting scan, by whoever holds the lock: what is found is told, or put into the latch. */
inline scan_and_reset(found)
{
    d_step { found = dirty; dirty = 0 }
}

proctype Writer()
{
    byte i;

    for (i : 1 .. 2) {
        d_step { dirty = 1; owed[tracker] = 1 }
    }
}

proctype Answerer()
{
    byte i;

    for (i : 1 .. 2) {
        LOCK;
        if
        :: tracker == OURS ->
            d_step {
                if
                :: (dirty || latched) && owed[OURS] -> owed[OURS] = 0; nr_told++
                :: else
                fi;
                dirty = 0
            }
            latched = 0;
            noted = epoch
        :: else
        fi;
        UNLOCK
    }
}

proctype Latcher()
{
    bit found;

    LOCK;
    if
    :: tracker == OURS ->
#ifndef LATE
        end_epoch();
#endif
        scan_and_reset(found);
        if
        :: found -> latched = 1
        :: else
        fi;
#ifdef LATE
        end_epoch()
#endif
    :: else
    fi;
    UNLOCK
}

/* ww_unwatch() here, ww_watch() there: what was owed here is owed no more. */
proctype Giver()
{
    LOCK;
    end_epoch();
    d_step { tracker = OTHERS; dirty = 0; latched = 0; owed[OURS] = 0 }
    UNLOCK
}

proctype Asker()
{
    byte i, asked_in, told_before;
    bit found, must, good;

    for (i : 1 .. 2) {
        d_step { must = owed[OURS]; told_before = nr_told }
        asked_in = noted;
        good = asked_in != 0 && epoch == asked_in;
        if
        :: good ->
#ifdef RESETS
            d_step {
                found = dirty;
                dirty = 0;
                if
                :: found && tracker == OURS && owed[OURS] && epoch == asked_in -> owed[OURS] = 0; nr_told++
                :: else
                fi
            }
#else
            found = dirty;
#endif
#ifndef UNCHECKED
            good = epoch == asked_in;
#endif
            if
            :: good ->
                /* Told: clean. */
                assert(found || !must || nr_told != told_before || !owed[OURS])
            :: else ->
#ifdef RESETS
                if
                :: found ->
                    LOCK;
                    if
                    :: tracker == OURS -> latched = 1
                    :: else
                    fi;
                    UNLOCK
                :: else
                fi
#endif
                skip
            fi
        :: else
        fi
    }
}

init {
    pid first = _nr_pr;

    atomic {
        run Writer();
        run Answerer();
        run Latcher();
        run Giver();
        run Asker()
    }
    _nr_pr == first;
    assert(!owed[tracker] || dirty || (tracker == OURS && latched))
}
