/* What both halves of the preload use. */
#ifndef EXECBOX_PRELOAD_H
#define EXECBOX_PRELOAD_H

#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>

/*
 * Defines real_NAME(), which gives libc's own NAME. It is looked up at the first
 * call, not in the constructor: another library's constructor may come first.
 * Two threads that look it up at once store the same pointer.
 */
#define REAL_VERSION(name, version)                                                   \
    static __typeof__(&name) real_##name(void)                                        \
    {                                                                                 \
        static __typeof__(&name) found;                                               \
        __typeof__(&name) function = __atomic_load_n(&found, __ATOMIC_RELAXED);       \
        if (function == NULL) {                                                       \
            void *symbol = NULL;                                                      \
            if (version[0] != '\0')                                                   \
                symbol = dlvsym(RTLD_NEXT, #name, version);                           \
            if (symbol == NULL)                                                       \
                symbol = dlsym(RTLD_NEXT, #name);                                     \
            if (symbol == NULL)                                                       \
                abort();                                                              \
            __atomic_store_n(&found, (__typeof__(&name))symbol, __ATOMIC_RELAXED);    \
            function = (__typeof__(&name))symbol;                                     \
        }                                                                             \
        return function;                                                              \
    }
#define REAL(name) REAL_VERSION(name, "")

/* Whether the date is moved or stands still. */
__attribute__((visibility("hidden"))) int execbox_moves_clock(void);

/* Moves a date that the kernel has put on a file, as the clock is moved. */
__attribute__((visibility("hidden"))) void execbox_move_file_date(struct timespec *date);

#endif
