/*
 * A wall clock that tests may step, for programs that are already running and sealed off.
 *
 * Loaded by LD_PRELOAD. Two numbers lie in a file that is mapped when the program starts: how far the wall
 * clock is off, and what the kernel says of it. After that nothing is opened and no system call is made that
 * the program would not make itself. Clocks that count from the start of the machine stay as they are.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timex.h>
#include <time.h>
#include <unistd.h>

struct state {
    int64_t offset_ns;    /* added to the wall clock */
    int64_t synchronised; /* 1 yes, 0 no, -1 ask the kernel */
};

static const struct state *state;

__attribute__((constructor)) static void map_state(void)
{
    const char *path = getenv("LAB_CLOCK");
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0)
        return;
    void *memory = mmap(NULL, sizeof(struct state), PROT_READ, MAP_SHARED, fd, 0);
    close(fd);
    if (memory != MAP_FAILED)
        state = memory;
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
    if (syscall(SYS_clock_gettime, clock, now) != 0)
        return -1;
    if (state && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
        int64_t offset = __atomic_load_n(&state->offset_ns, __ATOMIC_RELAXED);
        int64_t ns = now->tv_nsec + offset % 1000000000;
        now->tv_sec += offset / 1000000000;
        if (ns < 0) {
            ns += 1000000000;
            now->tv_sec--;
        } else if (ns >= 1000000000) {
            ns -= 1000000000;
            now->tv_sec++;
        }
        now->tv_nsec = ns;
    }
    return 0;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    struct timespec precise;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &precise);
    now->tv_sec = precise.tv_sec;
    now->tv_usec = precise.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *now)
{
    struct timespec precise;
    clock_gettime(CLOCK_REALTIME, &precise);
    if (now)
        *now = precise.tv_sec;
    return precise.tv_sec;
}

/* Reading only: a test must never set the clock of the machine. */
int adjtimex(struct timex *answer)
{
    int64_t synchronised = state ? __atomic_load_n(&state->synchronised, __ATOMIC_RELAXED) : -1;
    if (answer->modes != 0) {
        errno = EPERM;
        return -1;
    }
    if (synchronised < 0)
        return (int)syscall(SYS_adjtimex, answer);
    memset(answer, 0, sizeof *answer);
    answer->status = synchronised ? STA_PLL : STA_UNSYNC;
    gettimeofday(&answer->time, NULL);
    return synchronised ? TIME_OK : TIME_ERROR;
}

int ntp_adjtime(struct timex *answer)
{
    return adjtimex(answer);
}

int clock_adjtime(clockid_t clock, struct timex *answer)
{
    if (clock == CLOCK_REALTIME)
        return adjtimex(answer);
    errno = EOPNOTSUPP;
    return -1;
}
