/*
 * A disk that syncs slowly (LD_PRELOAD): every fsync and fdatasync takes SHERD_SYNC_MS milliseconds longer, and all
 * else is as it was. Threads that sync at the same time wait side by side, as on a disk that takes many requests.
 *
 * Far smaller than the disk shim of the persistence proofs, which notes every call: here nothing but the delay may
 * cost time.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <time.h>

static int (*real_fsync)(int);
static int (*real_fdatasync)(int);
static struct timespec delay;

__attribute__((constructor)) static void begin(void) {
  real_fsync = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
  real_fdatasync = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
  const char *text = getenv("SHERD_SYNC_MS");
  const double ms = text == NULL ? 0 : atof(text);
  delay.tv_sec = (time_t)(ms / 1000);
  delay.tv_nsec = (long)((ms - (double)delay.tv_sec * 1000) * 1e6);
}

/* A signal may cut a sleep short; the rest is slept then. */
static void wait_delay(void) {
  struct timespec left = delay;
  while (nanosleep(&left, &left) != 0 && errno == EINTR) continue;
}

int fsync(int fd) {
  wait_delay();
  return real_fsync(fd);
}

int fdatasync(int fd) {
  wait_delay();
  return real_fdatasync(fd);
}
