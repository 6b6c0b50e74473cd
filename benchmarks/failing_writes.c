/* Lets the n-th write to a file under a folder fail with "no space left on device".

   Loaded by LD_PRELOAD. OPS_FAULT_FOLDER is the folder; OPS_FAULT_AT arms it at once, and a process
   that has it loaded may arm itself. With `on` all writes after the n-th fail too: a full disk. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static const char *folder;
static long at, count;
static int on, fired;

void fault_arm(long nth, int from_there_on) {
    at = nth;
    on = from_there_on;
    count = 0;
    fired = 0;
}

int fault_fired(void) { return fired; }
long fault_count(void) { return count; }

__attribute__((constructor)) static void begin(void) {
    const char *nth = getenv("OPS_FAULT_AT");
    folder = getenv("OPS_FAULT_FOLDER");
    fault_arm(nth ? atol(nth) : 0, 0);
}

__attribute__((destructor)) static void end(void) {
    const char *report = getenv("OPS_FAULT_REPORT");
    char line[64];
    if (!report || !count)
        return;
    int file = open(report, O_WRONLY | O_CREAT | O_APPEND, 0600);
    int length = snprintf(line, sizeof line, "%ld %d\n", count, fired);
    syscall(SYS_write, file, line, length);
    close(file);
}

static int is_there(int descriptor) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, path, sizeof path - 1);
    return length > 0 && strncmp(path, folder, strlen(folder)) == 0;
}

static int fails(int descriptor) {
    if (!folder || !is_there(descriptor))
        return 0;
    long number = __atomic_add_fetch(&count, 1, __ATOMIC_SEQ_CST);
    if (at <= 0 || number < at || (number > at && !on))
        return 0;
    fired = 1;
    errno = ENOSPC;
    return 1;
}

ssize_t write(int descriptor, const void *bytes, size_t length) {
    return fails(descriptor) ? -1 : syscall(SYS_write, descriptor, bytes, length);
}

ssize_t pwrite(int descriptor, const void *bytes, size_t length, off_t offset) {
    return fails(descriptor) ? -1 : syscall(SYS_pwrite64, descriptor, bytes, length, offset);
}

ssize_t pwrite64(int descriptor, const void *bytes, size_t length, off64_t offset) {
    return fails(descriptor) ? -1 : syscall(SYS_pwrite64, descriptor, bytes, length, offset);
}

ssize_t writev(int descriptor, const struct iovec *parts, int number) {
    return fails(descriptor) ? -1 : syscall(SYS_writev, descriptor, parts, number);
}
