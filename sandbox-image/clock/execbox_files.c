/*
 * The half of the preload that changes what files say; the clock is in execbox_clock.c.
 *
 * Dates that the kernel has put on files since the container was made are moved
 * as the clock is: else a function that writes a file and reads its date, or
 * packs it into an archive, would see the real date. A date that a program has
 * set itself, or that came with the image, is another and stays.
 *
 * With EXECBOX_MACHINE=1 in the environment, files and devices have other
 * numbers (the same file always has the same), and what the kernel tells about
 * this machine and this container in /proc and /sys, and a few files of /etc,
 * reads as on another: every digit is another one, and so is the host's name.
 * How long the machine has been up, /proc/uptime, goes with the clock instead.
 *
 * It is no protection: a program that wants to know asks the kernel itself.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "preload.h"

_Static_assert(sizeof(struct stat) == sizeof(struct stat64), "one structure under both names");

static int machine;
static time_t made_s;

static time_t kernel_date_s(void)
{
    struct timespec now;
    static __typeof__(&clock_gettime) real;
    if (real == NULL)
        real = (__typeof__(real))dlsym(RTLD_NEXT, "clock_gettime");
    return real != NULL && real(CLOCK_REALTIME, &now) == 0 ? now.tv_sec : 0;
}

REAL(statx)

/* When the container was made: its own file systems were made just then. */
static time_t container_date_s(void)
{
    struct statx found;
    if (real_statx()(AT_FDCWD, "/dev/shm", 0, STATX_BTIME | STATX_CTIME, &found) != 0)
        return kernel_date_s();
    return (found.stx_mask & STATX_BTIME ? found.stx_btime : found.stx_ctime).tv_sec;
}

__attribute__((constructor)) static void read_environment(void)
{
    const char *text = getenv("EXECBOX_MACHINE");
    machine = text != NULL && strcmp(text, "1") == 0;
    made_s = container_date_s() - 1;
}

/* Numbers and dates of files */

static unsigned long added_number(void)
{
    /* Differs between executions, and so carries nothing from one to the next. */
    return machine ? 7919UL * (unsigned long)getpid() : 0;
}

static void move_date(struct timespec *date)
{
    if (date->tv_sec >= made_s && date->tv_sec <= kernel_date_s() + 1)
        execbox_move_file_date(date);
}

static int changed(int result, struct stat *found)
{
    if (result == 0) {
        move_date(&found->st_atim);
        move_date(&found->st_mtim);
        move_date(&found->st_ctim);
        found->st_ino += added_number();
        found->st_dev += machine ? 64 : 0;
    }
    return result;
}

#define STAT(name, parameters, arguments)                                             \
    REAL(name)                                                                        \
    int name parameters                                                               \
    {                                                                                 \
        return changed(real_##name() arguments, (struct stat *)(void *)found);        \
    }

STAT(stat, (const char *restrict path, struct stat *restrict found), (path, found))
STAT(lstat, (const char *restrict path, struct stat *restrict found), (path, found))
STAT(fstat, (int fd, struct stat *found), (fd, found))
STAT(fstatat, (int fd, const char *restrict path, struct stat *restrict found, int flags),
     (fd, path, found, flags))
STAT(stat64, (const char *restrict path, struct stat64 *restrict found), (path, found))
STAT(lstat64, (const char *restrict path, struct stat64 *restrict found), (path, found))
STAT(fstat64, (int fd, struct stat64 *found), (fd, found))
STAT(fstatat64, (int fd, const char *restrict path, struct stat64 *restrict found, int flags),
     (fd, path, found, flags))

/* What programs call that were built with a libc before 2.33. */
int __xstat64(int version, const char *path, struct stat64 *found);
int __lxstat64(int version, const char *path, struct stat64 *found);
int __fxstat64(int version, int fd, struct stat64 *found);
int __fxstatat64(int version, int fd, const char *path, struct stat64 *found, int flags);
STAT(__xstat64, (int version, const char *path, struct stat64 *found), (version, path, found))
STAT(__lxstat64, (int version, const char *path, struct stat64 *found), (version, path, found))
STAT(__fxstat64, (int version, int fd, struct stat64 *found), (version, fd, found))
STAT(__fxstatat64, (int version, int fd, const char *path, struct stat64 *found, int flags),
     (version, fd, path, found, flags))

static void move_statx_date(struct statx_timestamp *date)
{
    struct timespec moved = {date->tv_sec, date->tv_nsec};
    move_date(&moved);
    date->tv_sec = moved.tv_sec;
    date->tv_nsec = (unsigned)moved.tv_nsec;
}

int statx(int fd, const char *restrict path, int flags, unsigned mask,
          struct statx *restrict found)
{
    int result = real_statx()(fd, path, flags, mask, found);
    if (result == 0) {
        move_statx_date(&found->stx_atime);
        move_statx_date(&found->stx_mtime);
        move_statx_date(&found->stx_ctime);
        move_statx_date(&found->stx_btime);
        found->stx_ino += added_number();
        found->stx_dev_minor += machine ? 64 : 0;
    }
    return result;
}

REAL(readdir)
struct dirent *readdir(DIR *directory)
{
    struct dirent *entry = real_readdir()(directory);
    if (entry != NULL)
        entry->d_ino += added_number();
    return entry;
}

REAL(readdir64)
struct dirent64 *readdir64(DIR *directory)
{
    struct dirent64 *entry = real_readdir64()(directory);
    if (entry != NULL)
        entry->d_ino += added_number();
    return entry;
}

/* What the kernel tells about the machine and the container */

static int is_one_of(const char *path, const char *const *names)
{
    for (; *names != NULL; names++)
        if (strcmp(path, *names) == 0)
            return 1;
    return 0;
}

static int names_the_host(const char *path)
{
    static const char *const names[] = {"/etc/hostname", "/proc/sys/kernel/hostname", NULL};
    return is_one_of(path, names);
}

static int is_uptime(const char *path)
{
    return strcmp(path, "/proc/uptime") == 0;
}

/* Of a process's own files in /proc: what names the container. The rest is the process. */
static int names_the_container(const char *path)
{
    static const char *const names[] = {"cgroup", "mountinfo", "mounts", "mountstats", "cpuset",
                                        NULL};
    const char *name = strchr(path, '/');
    return name != NULL && is_one_of(name + 1, names);
}

static int tells_the_machine(const char *path)
{
    static const char *const names[] = {"/etc/hosts", "/etc/machine-id", "/etc/resolv.conf",
                                        "/var/lib/dbus/machine-id", NULL};
    if (strncmp(path, "/sys/", 5) == 0 || names_the_host(path) || is_one_of(path, names))
        return 1;
    if (strncmp(path, "/proc/", 6) != 0)
        return 0;
    path += 6;
    if (strncmp(path, "self/", 5) == 0 || strncmp(path, "thread-self/", 12) == 0 ||
        (*path >= '0' && *path <= '9'))
        return names_the_container(path);
    return 1;
}

static void change_digits(char *text, ssize_t length)
{
    /* None becomes a zero, so that no number gets shorter or begins with one. */
    for (; length > 0; length--, text++)
        if (*text >= '0' && *text <= '9')
            *text = (char)('1' + (*text - '0') % 9);
}

/* A file of memory with what the file would say elsewhere; the file itself where that fails. */
static int elsewhere(int fd, const char *path, int flags)
{
    const size_t most_bytes = 1 << 20;
    char part[4096];
    size_t written = 0;
    ssize_t length;
    int memory = memfd_create("elsewhere", flags & O_CLOEXEC ? MFD_CLOEXEC : 0);
    if (memory < 0)
        return fd;
    if (names_the_host(path)) {
        static const char name[] = "elsewhere\n";
        written = sizeof name - 1;
        length = write(memory, name, written) == (ssize_t)written ? 0 : -1;
    } else if (is_uptime(path)) {
        struct timespec up;
        clock_gettime(CLOCK_BOOTTIME, &up);
        length = dprintf(memory, "%lld.%02ld 0.00\n", (long long)up.tv_sec,
                         up.tv_nsec / 10000000) > 0 ? 0 : -1;
    } else {
        while ((length = read(fd, part, sizeof part)) > 0 && written < most_bytes) {
            change_digits(part, length);
            if (write(memory, part, (size_t)length) != length) {
                length = -1;
                break;
            }
            written += (size_t)length;
        }
    }
    if (length < 0 || written >= most_bytes || lseek(memory, 0, SEEK_SET) != 0) {
        close(memory);
        lseek(fd, 0, SEEK_SET);
        return fd;
    }
    close(fd);
    return memory;
}

static int opened(int fd, const char *path, int flags)
{
    const int other_uses = O_DIRECTORY | O_PATH | O_NONBLOCK;
    if (fd < 0 || (flags & O_ACCMODE) != O_RDONLY || (flags & other_uses))
        return fd;
    if (is_uptime(path) ? execbox_moves_clock() : machine && tells_the_machine(path))
        return elsewhere(fd, path, flags);
    return fd;
}

static int takes_mode(int flags)
{
    return (flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE;
}

#define OPEN(name, parameters, last, arguments)                                       \
    REAL(name)                                                                        \
    int name parameters                                                               \
    {                                                                                 \
        unsigned mode = 0;                                                            \
        if (takes_mode(flags)) {                                                      \
            va_list rest;                                                             \
            va_start(rest, last);                                                     \
            mode = va_arg(rest, unsigned);                                            \
            va_end(rest);                                                             \
        }                                                                             \
        return opened(real_##name() arguments, path, flags);                          \
    }

OPEN(open, (const char *path, int flags, ...), flags, (path, flags, mode))
OPEN(open64, (const char *path, int flags, ...), flags, (path, flags, mode))
OPEN(openat, (int fd, const char *path, int flags, ...), flags, (fd, path, flags, mode))
OPEN(openat64, (int fd, const char *path, int flags, ...), flags, (fd, path, flags, mode))

/* What programs call that were built to check their arguments. */
int __open_2(const char *path, int flags);
int __open64_2(const char *path, int flags);
int __openat64_2(int fd, const char *path, int flags);
REAL(__open_2)
int __open_2(const char *path, int flags)
{
    return opened(real___open_2()(path, flags), path, flags);
}

REAL(__open64_2)
int __open64_2(const char *path, int flags)
{
    return opened(real___open64_2()(path, flags), path, flags);
}

REAL(__openat64_2)
int __openat64_2(int fd, const char *path, int flags)
{
    return opened(real___openat64_2()(fd, path, flags), path, flags);
}
