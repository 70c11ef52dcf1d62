// Preloaded. A file whose path contains $STALL answers to open() only once the file $STALL_UNTIL
// exists: a stand-in for a mount whose server is gone.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static void wait_for(const char* path) {
  const char* stalled = getenv("STALL");
  if (!path || !stalled || !strstr(path, stalled)) return;
  const struct timespec pause = {0, 1000000};
  while (access(getenv("STALL_UNTIL"), F_OK) != 0) nanosleep(&pause, NULL);
}

typedef int (*open_function)(const char*, int, ...);

static int open_by(const char* name, const char* path, int flags, va_list arguments) {
  const mode_t mode = flags & O_CREAT ? va_arg(arguments, mode_t) : 0;
  wait_for(path);
  return ((open_function)dlsym(RTLD_NEXT, name))(path, flags, mode);
}

int open(const char* path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  const int result = open_by("open", path, flags, arguments);
  va_end(arguments);
  return result;
}

int open64(const char* path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  const int result = open_by("open64", path, flags, arguments);
  va_end(arguments);
  return result;
}
