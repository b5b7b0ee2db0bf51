/*
 * A preload that sets a process's date, again and again while it runs: what `date -s` does to a whole
 * machine. Durations, and clocks by which things wait, stay as they are. moved_clock.py builds it and
 * writes the offset, nanoseconds as a 64-bit number, into the file that MOVED_CLOCK names.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <semaphore.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t nothing;
static const volatile int64_t *offset_ns = &nothing;

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("MOVED_CLOCK");
    int fd = path == NULL ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    void *mapped = mmap(NULL, sizeof(int64_t), PROT_READ, MAP_SHARED, fd, 0);
    if (mapped != MAP_FAILED)
        offset_ns = mapped;
    close(fd);
}

static struct timespec moved(struct timespec moment, int64_t by_ns)
{
    const int64_t second_ns = 1000000000;
    int64_t sum_ns = moment.tv_nsec + by_ns % second_ns;
    moment.tv_sec += by_ns / second_ns;
    if (sum_ns >= second_ns) {
        sum_ns -= second_ns;
        moment.tv_sec++;
    } else if (sum_ns < 0) {
        sum_ns += second_ns;
        moment.tv_sec--;
    }
    moment.tv_nsec = sum_ns;
    return moment;
}

static int real_clock_gettime(clockid_t clock, struct timespec *now)
{
    static int (*real)(clockid_t, struct timespec *);
    if (real == NULL)
        real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    return real(clock, now);
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
    int result = real_clock_gettime(clock, now);
    if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        *now = moved(*now, *offset_ns);
    return result;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    struct timespec date;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &date);
    now->tv_sec = date.tv_sec;
    now->tv_usec = date.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *now)
{
    struct timespec date;
    clock_gettime(CLOCK_REALTIME, &date);
    if (now != NULL)
        *now = date.tv_sec;
    return date.tv_sec;
}

int sem_timedwait(sem_t *restrict semaphore, const struct timespec *restrict deadline)
{
    static int (*real)(sem_t *, const struct timespec *);
    if (real == NULL)
        real = (int (*)(sem_t *, const struct timespec *))dlsym(RTLD_NEXT, "sem_timedwait");
    struct timespec date = moved(*deadline, -*offset_ns);
    return real(semaphore, &date);
}
