/*
 * A disk that fails when a test says so, for programs that are already running and sealed off.
 *
 * Loaded by LD_PRELOAD. One number lies in a file that is mapped when the program starts: whether the disk is
 * broken. Then nothing can be flushed to it any more; what is only written seems to work, as with real disks.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

static const int64_t *broken;

__attribute__((constructor)) static void map_state(void)
{
    const char *path = getenv("LAB_DISK");
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0)
        return;
    void *memory = mmap(NULL, sizeof(int64_t), PROT_READ, MAP_SHARED, fd, 0);
    close(fd);
    if (memory != MAP_FAILED)
        broken = memory;
}

static int fails(void)
{
    if (!broken || !__atomic_load_n(broken, __ATOMIC_RELAXED))
        return 0;
    errno = EIO;
    return 1;
}

int fdatasync(int fd)
{
    return fails() ? -1 : (int)syscall(SYS_fdatasync, fd);
}

int fsync(int fd)
{
    return fails() ? -1 : (int)syscall(SYS_fsync, fd);
}
