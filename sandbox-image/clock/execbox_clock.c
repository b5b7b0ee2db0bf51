/*
 * The half of the preload that moves the date; what files say is in execbox_files.c.
 *
 * A process started with
 *
 *     LD_PRELOAD=/usr/lib/execbox/libexecbox_clock.so EXECBOX_CLOCK_OFFSET_S=34560000
 *
 * sees the date that many seconds (negative: earlier) away from the real one, and
 * with EXECBOX_CLOCK_FROZEN_S a date that stands still at that second.
 * execbox runs a function a second time under it, to see whether its output
 * depends on the date. It is no protection: a program that wants the real date
 * can ask the kernel for it.
 *
 * Clocks by which anything waits, and CPU clocks, are untouched, so everything
 * that waits for a duration works as ever: sleep, timers, locks with timeouts,
 * event loops. The few calls that wait until a date take the date back to the
 * kernel's clock first; of those, Python's multiprocessing locks use
 * sem_timedwait.
 *
 * How long the machine has been up (CLOCK_BOOTTIME, CLOCK_MONOTONIC_RAW) grows
 * by as much as the date moves, in whichever direction that is.
 *
 * The offset is read once, when the library is loaded; what a program does to
 * its environment afterwards changes nothing.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>

#include "preload.h"

_Static_assert(sizeof(time_t) == 8, "a 32-bit time_t has other entry points than these");

static time_t offset_s;
static time_t frozen_s;
static int frozen;
static long step_ns;
static long looks;

static int read_seconds(const char *name, time_t *seconds)
{
    const char *text = getenv(name);
    if (text == NULL)
        return 0;
    char *end;
    errno = 0;
    long value = strtol(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0')
        return 0;
    *seconds = value;
    return 1;
}

__attribute__((constructor)) static void read_environment(void)
{
    read_seconds("EXECBOX_CLOCK_OFFSET_S", &offset_s);
    frozen = read_seconds("EXECBOX_CLOCK_FROZEN_S", &frozen_s);
    time_t step = 0;
    if (read_seconds("EXECBOX_CLOCK_STEP_NS", &step) && step >= 0 && step < 1000000)
        step_ns = step;
}

static int is_realtime(clockid_t clock)
{
    return clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE ||
           clock == CLOCK_REALTIME_ALARM || clock == CLOCK_TAI;
}

static int is_uptime(clockid_t clock)
{
    return clock == CLOCK_BOOTTIME || clock == CLOCK_BOOTTIME_ALARM ||
           clock == CLOCK_MONOTONIC_RAW;
}

/* Reading the date */

REAL(clock_gettime)
REAL(gettimeofday)
REAL(time)
REAL(timespec_get)

static void add_ns(struct timespec *moment, long nanoseconds)
{
    const long second_ns = 1000000000L;
    long sum_ns = moment->tv_nsec + nanoseconds % second_ns;
    moment->tv_sec += nanoseconds / second_ns;
    if (sum_ns >= second_ns) {
        sum_ns -= second_ns;
        moment->tv_sec++;
    } else if (sum_ns < 0) {
        sum_ns += second_ns;
        moment->tv_sec--;
    }
    moment->tv_nsec = sum_ns;
}

static void move(struct timespec *now)
{
    if (frozen) {
        now->tv_sec = frozen_s;
        now->tv_nsec = 0;
    } else {
        now->tv_sec += offset_s;
        if (step_ns != 0)
            add_ns(now, step_ns * __atomic_add_fetch(&looks, 1, __ATOMIC_RELAXED));
    }
}

static time_t uptime_added_s(void)
{
    return offset_s < 0 ? -offset_s : offset_s;
}

static void move_uptime(struct timespec *now)
{
    if (frozen) {
        now->tv_sec = frozen_s;
        now->tv_nsec = 0;
    } else {
        now->tv_sec += uptime_added_s();
    }
}

int execbox_moves_clock(void)
{
    return frozen || offset_s != 0;
}

void execbox_move_file_date(struct timespec *date)
{
    if (frozen) {
        date->tv_sec = frozen_s;
        date->tv_nsec = 0;
    } else {
        date->tv_sec += offset_s;
    }
}

/* A deadline as the program sees the date, as the kernel sees it. */
static struct timespec to_kernel(const struct timespec *deadline)
{
    struct timespec real = *deadline;
    if (frozen) {
        struct timespec now;
        real_clock_gettime()(CLOCK_REALTIME, &now);
        real.tv_sec += now.tv_sec - frozen_s;
    } else {
        real.tv_sec -= offset_s;
        add_ns(&real, -step_ns * __atomic_load_n(&looks, __ATOMIC_RELAXED));
    }
    return real;
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
    int result = real_clock_gettime()(clock, now);
    if (result == 0 && is_realtime(clock))
        move(now);
    else if (result == 0 && is_uptime(clock))
        move_uptime(now);
    return result;
}

int gettimeofday(struct timeval *restrict now, void *restrict timezone)
{
    int result = real_gettimeofday()(now, timezone);
    /* Through a pointer of our own: the header declares `now` never null. */
    struct timeval *volatile given = now;
    if (result == 0 && given != NULL) {
        struct timespec moved = {given->tv_sec, given->tv_usec * 1000};
        move(&moved);
        given->tv_sec = moved.tv_sec;
        given->tv_usec = moved.tv_nsec / 1000;
    }
    return result;
}

time_t time(time_t *now)
{
    struct timespec moment = {real_time()(NULL), 0};
    if (moment.tv_sec != (time_t)-1)
        move(&moment);
    if (now != NULL)
        *now = moment.tv_sec;
    return moment.tv_sec;
}

int timespec_get(struct timespec *now, int base)
{
    int result = real_timespec_get()(now, base);
    if (result == TIME_UTC)
        move(now);
    return result;
}

/* Waiting until a date */

REAL(clock_nanosleep)
REAL(sem_timedwait)
REAL(sem_clockwait)
REAL(pthread_mutex_timedlock)
REAL(pthread_mutex_clocklock)
REAL(pthread_cond_clockwait)
/* x86-64 has an older function of this name, which does not fit today's type. */
REAL_VERSION(pthread_cond_timedwait, "GLIBC_2.3.2")

int clock_nanosleep(clockid_t clock, int flags, const struct timespec *request,
                    struct timespec *remain)
{
    if ((flags & TIMER_ABSTIME) && is_uptime(clock) && !frozen) {
        struct timespec real = {request->tv_sec - uptime_added_s(), request->tv_nsec};
        return real_clock_nanosleep()(clock, flags, &real, remain);
    }
    if (!(flags & TIMER_ABSTIME) || !is_realtime(clock))
        return real_clock_nanosleep()(clock, flags, request, remain);
    struct timespec real = to_kernel(request);
    return real_clock_nanosleep()(clock, flags, &real, remain);
}

int sem_timedwait(sem_t *restrict semaphore, const struct timespec *restrict deadline)
{
    struct timespec real = to_kernel(deadline);
    return real_sem_timedwait()(semaphore, &real);
}

int sem_clockwait(sem_t *restrict semaphore, clockid_t clock,
                  const struct timespec *restrict deadline)
{
    if (!is_realtime(clock))
        return real_sem_clockwait()(semaphore, clock, deadline);
    struct timespec real = to_kernel(deadline);
    return real_sem_clockwait()(semaphore, clock, &real);
}

int pthread_mutex_timedlock(pthread_mutex_t *restrict mutex,
                            const struct timespec *restrict deadline)
{
    struct timespec real = to_kernel(deadline);
    return real_pthread_mutex_timedlock()(mutex, &real);
}

int pthread_mutex_clocklock(pthread_mutex_t *restrict mutex, clockid_t clock,
                            const struct timespec *restrict deadline)
{
    if (!is_realtime(clock))
        return real_pthread_mutex_clocklock()(mutex, clock, deadline);
    struct timespec real = to_kernel(deadline);
    return real_pthread_mutex_clocklock()(mutex, clock, &real);
}

int pthread_cond_clockwait(pthread_cond_t *restrict condition, pthread_mutex_t *restrict mutex,
                           clockid_t clock, const struct timespec *restrict deadline)
{
    if (!is_realtime(clock))
        return real_pthread_cond_clockwait()(condition, mutex, clock, deadline);
    struct timespec real = to_kernel(deadline);
    return real_pthread_cond_clockwait()(condition, mutex, clock, &real);
}

/*
 * Which clock a condition variable waits by was set when it was made, and
 * cannot be asked. The deadline tells: a monotonic clock counts from the
 * machine's start, a date from 1970, and no machine has been up for 30 years.
 * Python's own interpreter lock waits here, by the monotonic clock.
 */
int pthread_cond_timedwait(pthread_cond_t *restrict condition, pthread_mutex_t *restrict mutex,
                           const struct timespec *restrict deadline)
{
    const time_t thirty_years_s = 30L * 365 * 86400;
    if (deadline->tv_sec < thirty_years_s)
        return real_pthread_cond_timedwait()(condition, mutex, deadline);
    struct timespec real = to_kernel(deadline);
    return real_pthread_cond_timedwait()(condition, mutex, &real);
}
