/*
 * Stands between a server and its disk (LD_PRELOAD): notes what is written, synced and renamed below a folder, and
 * what is sent to clients, in one order; and makes the disk fail when it is told to.
 *
 *   SHERD_DISK_ROOT    absolute folder; files elsewhere are left alone
 *   SHERD_DISK_LOG     file that records are appended to; none without
 *   SHERD_DISK_FAULTS  file of FAULTS int64 that is mapped and read at every call; whoever tests writes to it
 *
 * A record is a head of 40 bytes, the path, and data:
 *
 *   u32 kind | u32 path length | u64 inode or descriptor | u64 time in ns | u64 offset, size or ticket | u64 data length
 *
 * One lock is held over a call and its record, so the order of records is the order of effects. A sync is two
 * records, begin and end with the same ticket: what was written in between may or may not be covered.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { OPEN = 1, WRITE, SYNC_BEGIN, SYNC_END, RENAME, UNLINK, TRUNCATE, MKDIR, SEND };
/* Faults: errno of writes, of syncs, of what changes directories; bytes that may still be written (-1: any number). */
enum { WRITE_ERROR = 0, SYNC_ERROR, NAME_ERROR, SPACE, FAULTS };

#define FDS_MAX 65536
#define PATH_LENGTH 4096

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char *paths[FDS_MAX];
static const char *root;
static size_t root_length;
static int log_fd = -1;
static volatile int64_t *faults;
static uint64_t ticket;

#define REAL(name) ((__typeof__(&name))real(#name))

static void *real(const char *name) { return dlsym(RTLD_NEXT, name); }

static ssize_t (*real_write)(int, const void *, size_t);

__attribute__((constructor)) static void begin(void) {
  real_write = (ssize_t(*)(int, const void *, size_t))real("write");
  root = getenv("SHERD_DISK_ROOT");
  root_length = root == NULL ? 0 : strlen(root);
  int (*real_open)(const char *, int, ...) = (int (*)(const char *, int, ...))real("open");
  const char *log_path = getenv("SHERD_DISK_LOG");
  if (log_path != NULL) log_fd = real_open(log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  const char *fault_path = getenv("SHERD_DISK_FAULTS");
  const int fd = fault_path == NULL ? -1 : real_open(fault_path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return;
  void *mapped = mmap(NULL, FAULTS * sizeof(int64_t), PROT_READ, MAP_SHARED, fd, 0);
  if (mapped != MAP_FAILED) faults = mapped;
}

static int64_t fault(int which) { return faults == NULL ? (which == SPACE ? -1 : 0) : faults[which]; }

static int is_ours(const char *path) {
  return root != NULL && path != NULL && strncmp(path, root, root_length) == 0 &&
         (path[root_length] == '/' || path[root_length] == 0);
}

static const char *path_of(int fd) { return fd >= 0 && fd < FDS_MAX ? paths[fd] : NULL; }

static uint64_t inode_of(int fd) {
  struct stat status;
  return fstat(fd, &status) == 0 ? status.st_ino : 0;
}

static void put(uint32_t kind, uint64_t id, uint64_t offset, const char *path, const struct iovec *data, int parts, size_t length) {
  if (log_fd < 0) return;
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  const uint32_t path_length = path == NULL ? 0 : (uint32_t)strlen(path);
  const uint64_t head[] = {kind | (uint64_t)path_length << 32, id, (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec,
                           offset, length};
  struct iovec pieces[34] = {{(void *)head, sizeof head}, {(void *)path, path_length}};
  int count = 2;
  size_t left = length;
  for (int at = 0; at < parts && left > 0 && count < 34; at++) {
    pieces[count] = data[at];
    if (pieces[count].iov_len > left) pieces[count].iov_len = left;
    left -= pieces[count++].iov_len;
  }
  ssize_t (*real_writev)(int, const struct iovec *, int) = (ssize_t(*)(int, const struct iovec *, int))real("writev");
  if (real_writev(log_fd, pieces, count) < 0 || left > 0) abort();
}

static void put_path(uint32_t kind, const char *path, const char *other) {
  const struct iovec data = {(void *)other, other == NULL ? 0 : strlen(other)};
  put(kind, 0, 0, path, &data, 1, data.iov_len);
}

static int failed(int64_t error) {
  errno = (int)error;
  return -1;
}

/* ---- Descriptors ---- */

static int open_as(const char *name, const char *path, int flags, mode_t mode) {
  int (*real_open)(const char *, int, ...) = (int (*)(const char *, int, ...))real(name);
  if (!is_ours(path)) return real_open(path, flags, mode);
  pthread_mutex_lock(&lock);
  struct stat before;
  const int is_new = (flags & O_CREAT) != 0 && stat(path, &before) != 0;
  if (is_new && fault(NAME_ERROR) != 0) {
    pthread_mutex_unlock(&lock);
    return failed(fault(NAME_ERROR));
  }
  const int fd = real_open(path, flags, mode);
  if (fd >= 0 && fd < FDS_MAX) {
    free(paths[fd]);
    paths[fd] = strdup(path);
    if (is_new) put(OPEN, inode_of(fd), 0, path, NULL, 0, 0);
    else if ((flags & O_TRUNC) != 0) put(TRUNCATE, inode_of(fd), 0, path, NULL, 0, 0);
  }
  pthread_mutex_unlock(&lock);
  return fd;
}

#define OPEN_FUNCTION(name)                                 \
  int name(const char *path, int flags, ...) {              \
    va_list rest;                                           \
    va_start(rest, flags);                                  \
    const mode_t mode = va_arg(rest, mode_t);               \
    va_end(rest);                                           \
    return open_as(#name, path, flags, mode);               \
  }
OPEN_FUNCTION(open)
OPEN_FUNCTION(open64)

int close(int fd) {
  if (path_of(fd) != NULL) {
    pthread_mutex_lock(&lock);
    free(paths[fd]);
    paths[fd] = NULL;
    pthread_mutex_unlock(&lock);
  }
  return REAL(close)(fd);
}

/* ---- Bytes ---- */

/* How much of a write goes through: all, a part when the space ends within, or an error as -errno. */
static int64_t allowed(size_t length) {
  if (fault(WRITE_ERROR) != 0) return -fault(WRITE_ERROR);
  const int64_t space = fault(SPACE);
  if (space < 0 || (int64_t)length <= space) return (int64_t)length;
  return space == 0 ? -ENOSPC : space;
}

static ssize_t put_written(int fd, off_t offset, const void *bytes, ssize_t written) {
  const struct iovec data = {(void *)bytes, written > 0 ? (size_t)written : 0};
  if (written > 0) put(WRITE, inode_of(fd), (uint64_t)offset, path_of(fd), &data, 1, (size_t)written);
  return written;
}

ssize_t write(int fd, const void *bytes, size_t length) {
  if (path_of(fd) == NULL) return real_write(fd, bytes, length);
  pthread_mutex_lock(&lock);
  const int64_t most = allowed(length);
  ssize_t written = most < 0 ? failed(-most) : 0;
  if (most >= 0) {
    const off_t offset = (fcntl(fd, F_GETFL) & O_APPEND) != 0 ? lseek(fd, 0, SEEK_END) : lseek(fd, 0, SEEK_CUR);
    written = put_written(fd, offset, bytes, real_write(fd, bytes, (size_t)most));
  }
  pthread_mutex_unlock(&lock);
  return written;
}

static ssize_t pwrite_as(const char *name, int fd, const void *bytes, size_t length, off_t offset) {
  ssize_t (*real_pwrite)(int, const void *, size_t, off_t) = (ssize_t(*)(int, const void *, size_t, off_t))real(name);
  if (path_of(fd) == NULL) return real_pwrite(fd, bytes, length, offset);
  pthread_mutex_lock(&lock);
  const int64_t most = allowed(length);
  const ssize_t written =
      most < 0 ? failed(-most) : put_written(fd, offset, bytes, real_pwrite(fd, bytes, (size_t)most, offset));
  pthread_mutex_unlock(&lock);
  return written;
}

ssize_t pwrite(int fd, const void *bytes, size_t length, off_t offset) { return pwrite_as("pwrite", fd, bytes, length, offset); }
ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t offset) {
  return pwrite_as("pwrite64", fd, bytes, length, offset);
}

/* Of several pieces the first goes through alone: writers go on with the rest. */
ssize_t writev(int fd, const struct iovec *pieces, int count) {
  if (path_of(fd) == NULL || count == 0) return REAL(writev)(fd, pieces, count);
  return write(fd, pieces[0].iov_base, pieces[0].iov_len);
}

static int truncate_as(const char *name, int fd, off_t size) {
  int (*real_truncate)(int, off_t) = (int (*)(int, off_t))real(name);
  if (path_of(fd) == NULL) return real_truncate(fd, size);
  pthread_mutex_lock(&lock);
  const int result = real_truncate(fd, size);
  if (result == 0) put(TRUNCATE, inode_of(fd), (uint64_t)size, path_of(fd), NULL, 0, 0);
  pthread_mutex_unlock(&lock);
  return result;
}

int ftruncate(int fd, off_t size) { return truncate_as("ftruncate", fd, size); }
int ftruncate64(int fd, off64_t size) { return truncate_as("ftruncate64", fd, size); }

static int sync_as(const char *name, int fd) {
  int (*real_sync)(int) = (int (*)(int))real(name);
  if (path_of(fd) == NULL) return real_sync(fd);
  pthread_mutex_lock(&lock);
  const uint64_t mine = ++ticket;
  put(SYNC_BEGIN, inode_of(fd), mine, path_of(fd), NULL, 0, 0);
  pthread_mutex_unlock(&lock);
  const int result = fault(SYNC_ERROR) != 0 ? failed(fault(SYNC_ERROR)) : real_sync(fd);
  const int error = errno;
  if (result == 0) {
    pthread_mutex_lock(&lock);
    put(SYNC_END, 0, mine, NULL, NULL, 0, 0);
    pthread_mutex_unlock(&lock);
  }
  errno = error;
  return result;
}

int fsync(int fd) { return sync_as("fsync", fd); }
int fdatasync(int fd) { return sync_as("fdatasync", fd); }

/* ---- Names ---- */

int rename(const char *from, const char *to) {
  if (!is_ours(to)) return REAL(rename)(from, to);
  if (fault(NAME_ERROR) != 0) return failed(fault(NAME_ERROR));
  pthread_mutex_lock(&lock);
  const int result = REAL(rename)(from, to);
  if (result == 0) put_path(RENAME, from, to);
  pthread_mutex_unlock(&lock);
  return result;
}

int unlink(const char *path) {
  if (!is_ours(path)) return REAL(unlink)(path);
  pthread_mutex_lock(&lock);
  const int result = REAL(unlink)(path);
  if (result == 0) put_path(UNLINK, path, NULL);
  pthread_mutex_unlock(&lock);
  return result;
}

int mkdir(const char *path, mode_t mode) {
  if (!is_ours(path)) return REAL(mkdir)(path, mode);
  if (fault(NAME_ERROR) != 0) return failed(fault(NAME_ERROR));
  pthread_mutex_lock(&lock);
  const int result = REAL(mkdir)(path, mode);
  if (result == 0) put_path(MKDIR, path, NULL);
  pthread_mutex_unlock(&lock);
  return result;
}

/* ---- Clients ---- */

ssize_t send(int fd, const void *bytes, size_t length, int flags) {
  if (log_fd < 0) return REAL(send)(fd, bytes, length, flags);
  pthread_mutex_lock(&lock);
  const ssize_t sent = REAL(send)(fd, bytes, length, flags);
  const int error = errno;
  const struct iovec data = {(void *)bytes, length};
  if (sent > 0) put(SEND, (uint64_t)fd, 0, NULL, &data, 1, (size_t)sent);
  pthread_mutex_unlock(&lock);
  errno = error;
  return sent;
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags) {
  if (log_fd < 0) return REAL(sendmsg)(fd, message, flags);
  pthread_mutex_lock(&lock);
  const ssize_t sent = REAL(sendmsg)(fd, message, flags);
  const int error = errno;
  if (sent > 0) put(SEND, (uint64_t)fd, 0, NULL, message->msg_iov, (int)message->msg_iovlen, (size_t)sent);
  pthread_mutex_unlock(&lock);
  errno = error;
  return sent;
}
