/* A disk that fails, for one process: preloaded, it counts what is written below a folder, and from a chosen
 * operation on nothing can be written there any more. The first operation that fails takes half of its bytes, as
 * a disk does that has a little room left. With the reason KILL the process ends there instead; with STOP it stands
 * still before that operation, once, until somebody lets it go on.
 *
 * What the C library does by itself, as `fwrite` does, passes by unseen; opening such a file does not.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#define KILL (-1)
#define STOP (-2)

static char folder[PATH_MAX];
static size_t folder_length;
static atomic_long seen;
static long first_failing;
static int reason;

/* Watch a folder (an absolute path, without links); 0 as `first` only counts, NULL ends it. */
void disk_watch(const char *path, long first, int why) {
    folder_length = 0;
    atomic_store(&seen, 0);
    first_failing = first;
    reason = why;
    if (path && strlen(path) < sizeof folder) {
        strcpy(folder, path);
        folder_length = strlen(path);
    }
}

long disk_seen(void) { return atomic_load(&seen); }

static int below(const char *path) {
    return !strncmp(path, folder, folder_length) && (path[folder_length] == '/' || !path[folder_length]);
}

static int fd_watched(int fd) {
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return below(path);
}

static int path_watched(int at, const char *path) {
    char whole[2 * PATH_MAX], link[64];
    if (!folder_length || !path) return 0;
    if (path[0] == '/') return below(path);
    snprintf(link, sizeof link, at == AT_FDCWD ? "/proc/self/cwd" : "/proc/self/fd/%d", at);
    ssize_t length = readlink(link, whole, PATH_MAX);
    if (length < 0) return 0;
    snprintf(whole + length, sizeof whole - (size_t)length, "/%s", path);
    return below(whole);
}

/* 0: goes on; 1: the first that fails; 2: one after it. */
static int turn(void) {
    long number = atomic_fetch_add(&seen, 1) + 1;
    if (!first_failing || number < first_failing) return 0;
    if (reason == STOP) {
        if (number == first_failing) kill(getpid(), SIGSTOP);
        return 0;
    }
    return number == first_failing ? 1 : 2;
}

static int fail(void) {
    if (reason == KILL) kill(getpid(), SIGKILL);
    errno = reason;
    return -1;
}

static int fails(int watched) { return watched && turn() && (fail(), 1); }

#define REAL(name) \
    static __typeof__(&name) real; \
    if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

/* Writing what is there needs no new place; on a disk that can't be written it is refused too. */
static int opening_fails(int at, const char *path, int flags) {
    int saved = errno;
    if (!folder_length || (flags & O_ACCMODE) == O_RDONLY || !path_watched(at, path)) return 0;
    int fresh = (flags & O_CREAT) && faccessat(at, path, F_OK, 0);
    errno = saved;
    return (fresh || reason == EROFS) && fails(1);
}

#define MODE(flags) \
    mode_t mode = 0; \
    if ((flags) & (O_CREAT | O_TMPFILE)) { \
        va_list rest; \
        va_start(rest, flags); \
        mode = va_arg(rest, mode_t); \
        va_end(rest); \
    }

int open(const char *path, int flags, ...) {
    REAL(open);
    MODE(flags)
    return opening_fails(AT_FDCWD, path, flags) ? -1 : real(path, flags, mode);
}

int open64(const char *path, int flags, ...) {
    REAL(open64);
    MODE(flags)
    return opening_fails(AT_FDCWD, path, flags) ? -1 : real(path, flags, mode);
}

int openat(int at, const char *path, int flags, ...) {
    REAL(openat);
    MODE(flags)
    return opening_fails(at, path, flags) ? -1 : real(at, path, flags, mode);
}

int openat64(int at, const char *path, int flags, ...) {
    REAL(openat64);
    MODE(flags)
    return opening_fails(at, path, flags) ? -1 : real(at, path, flags, mode);
}

static int as_flags(const char *mode) { return *mode == 'r' && !strchr(mode, '+') ? O_RDONLY : O_RDWR | O_CREAT; }

FILE *fopen(const char *path, const char *mode) {
    REAL(fopen);
    return opening_fails(AT_FDCWD, path, as_flags(mode)) ? NULL : real(path, mode);
}

FILE *fopen64(const char *path, const char *mode) {
    REAL(fopen64);
    return opening_fails(AT_FDCWD, path, as_flags(mode)) ? NULL : real(path, mode);
}

/* Bytes go out through CALL, which takes `n` of them; the half of them where the disk is just full. */
#define WRITING(fd, count, CALL) \
    if (folder_length && fd_watched(fd)) { \
        int failing = turn(); \
        if (failing == 2 || (failing && (count) < 2)) return fail(); \
        if (failing) { \
            size_t n = (count) / 2; \
            ssize_t done = CALL; \
            if (reason == KILL) fail(); \
            return done; \
        } \
    } \
    size_t n = (count); \
    return CALL

ssize_t write(int fd, const void *data, size_t count) {
    REAL(write);
    WRITING(fd, count, real(fd, data, n));
}

ssize_t pwrite(int fd, const void *data, size_t count, off_t at) {
    REAL(pwrite);
    WRITING(fd, count, real(fd, data, n, at));
}

ssize_t pwrite64(int fd, const void *data, size_t count, off64_t at) {
    REAL(pwrite64);
    WRITING(fd, count, real(fd, data, n, at));
}

ssize_t sendfile(int out, int in, off_t *at, size_t count) {
    REAL(sendfile);
    WRITING(out, count, real(out, in, at, n));
}

ssize_t sendfile64(int out, int in, off64_t *at, size_t count) {
    REAL(sendfile64);
    WRITING(out, count, real(out, in, at, n));
}

ssize_t copy_file_range(int in, off64_t *from, int out, off64_t *to, size_t count, unsigned flags) {
    REAL(copy_file_range);
    WRITING(out, count, real(in, from, out, to, n, flags));
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    REAL(writev);
    return fails(folder_length && fd_watched(fd)) ? -1 : real(fd, parts, count);
}

/* There is always room for less. */
static int grows(int fd, off_t size) {
    struct stat state;
    return folder_length && fd_watched(fd) && !fstat(fd, &state) && (reason == EROFS || size > state.st_size);
}

int ftruncate(int fd, off_t size) {
    REAL(ftruncate);
    return fails(grows(fd, size)) ? -1 : real(fd, size);
}

int ftruncate64(int fd, off64_t size) {
    REAL(ftruncate64);
    return fails(grows(fd, size)) ? -1 : real(fd, size);
}

int mkdir(const char *path, mode_t mode) {
    REAL(mkdir);
    return fails(path_watched(AT_FDCWD, path) && access(path, F_OK)) ? -1 : real(path, mode);
}

int mkdirat(int at, const char *path, mode_t mode) {
    REAL(mkdirat);
    return fails(path_watched(at, path) && faccessat(at, path, F_OK, 0)) ? -1 : real(at, path, mode);
}

int rename(const char *from, const char *to) {
    REAL(rename);
    return fails(path_watched(AT_FDCWD, to)) ? -1 : real(from, to);
}

int renameat(int at, const char *from, int there, const char *to) {
    REAL(renameat);
    return fails(path_watched(there, to)) ? -1 : real(at, from, there, to);
}

int link(const char *from, const char *to) {
    REAL(link);
    return fails(path_watched(AT_FDCWD, to)) ? -1 : real(from, to);
}

int symlink(const char *to, const char *path) {
    REAL(symlink);
    return fails(path_watched(AT_FDCWD, path)) ? -1 : real(to, path);
}

int symlinkat(const char *to, int at, const char *path) {
    REAL(symlinkat);
    return fails(path_watched(at, path)) ? -1 : real(to, at, path);
}

/* A full disk lets go of files, one that can't be written does not. */
int unlink(const char *path) {
    REAL(unlink);
    return fails(reason == EROFS && path_watched(AT_FDCWD, path)) ? -1 : real(path);
}

int unlinkat(int at, const char *path, int flags) {
    REAL(unlinkat);
    return fails(reason == EROFS && path_watched(at, path)) ? -1 : real(at, path, flags);
}

int rmdir(const char *path) {
    REAL(rmdir);
    return fails(reason == EROFS && path_watched(AT_FDCWD, path)) ? -1 : real(path);
}
