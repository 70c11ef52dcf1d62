// Preloaded into Node (LD_PRELOAD): fails the k-th system call or allocation of one kind that the addon makes. The name of
// the compiled file must contain "grok-fault".
//
// Opening "/fault/KIND/K" arms it and always fails: with EEXIST if the fault armed before has happened, else with ENOENT.
// Kinds: "new" (an allocation of the thread that armed it), "work" (of another thread), "thread", "open", "read", "stat",
// "mmap"; any other name disarms it.
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <link.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static char armed[16];
static atomic_long countdown;  // calls until the fault; 0 and less: it has happened
static pthread_t armed_by;
static __thread int looking;  // backtrace() may call what is replaced here

struct Search {
  const void* address;
  const char* part;
  int found;
};

static int contains(struct dl_phdr_info* object, size_t size, void* data) {
  (void)size;
  struct Search* search = data;
  for (int index = 0; index < object->dlpi_phnum; ++index) {
    const ElfW(Phdr)* header = &object->dlpi_phdr[index];
    const char* begin = (const char*)object->dlpi_addr + header->p_vaddr;
    if (header->p_type != PT_LOAD || (const char*)search->address < begin) continue;
    if ((const char*)search->address >= begin + header->p_memsz) continue;
    search->found = strstr(object->dlpi_name, search->part) != NULL;
    return 1;
  }
  return 0;
}

static int lies_in(const void* address, const char* part) {
  struct Search search = {address, part, 0};
  dl_iterate_phdr(contains, &search);
  return search.found;
}

// The nearest caller outside of this file and of libstdc++ is the addon.
static int called_by_addon(void) {
  void* frames[32];
  const int depth = backtrace(frames, 32);
  for (int index = 0; index < depth; ++index)
    if (!lies_in(frames[index], "libstdc++") && !lies_in(frames[index], "grok-fault"))
      return lies_in(frames[index], "grok-run.node");
  return 0;
}

static int fails(const char* kind) {
  if (looking || strcmp(armed, kind) != 0) return 0;
  looking = 1;
  const int is_due = called_by_addon() && atomic_fetch_sub(&countdown, 1) == 1;
  looking = 0;
  return is_due;
}

static int arm(const char* command) {
  const int has_happened = armed[0] && atomic_load(&countdown) <= 0;
  long k = 0;
  char kind[16] = "";
  sscanf(command, "%15[^/]/%ld", kind, &k);
  armed_by = pthread_self();
  atomic_store(&countdown, k);
  memcpy(armed, kind, sizeof armed);
  errno = has_happened ? EEXIST : ENOENT;
  return -1;
}

__attribute__((constructor)) static void load_backtrace(void) {
  void* frame;
  backtrace(&frame, 1);
}

// NAME is replaced by a function that fails with ERROR when it is its turn.
#define REPLACED(kind, result, name, parameters, arguments, error, failure) \
  result name parameters {                                                 \
    static result(*real) parameters;                                       \
    if (!real) real = (result(*) parameters)dlsym(RTLD_NEXT, #name);       \
    if (!fails(kind)) return real arguments;                               \
    errno = error;                                                         \
    return failure;                                                        \
  }

REPLACED("stat", int, stat, (const char* path, struct stat* status), (path, status), EIO, -1)
REPLACED("stat", int, stat64, (const char* path, struct stat64* status), (path, status), EIO, -1)
REPLACED("stat", int, lstat, (const char* path, struct stat* status), (path, status), EIO, -1)
REPLACED("stat", int, lstat64, (const char* path, struct stat64* status), (path, status), EIO, -1)
REPLACED("stat", int, fstat, (int file, struct stat* status), (file, status), EIO, -1)
REPLACED("stat", int, fstat64, (int file, struct stat64* status), (file, status), EIO, -1)
REPLACED("open", FILE*, fopen, (const char* path, const char* mode), (path, mode), EMFILE, NULL)
REPLACED("open", FILE*, fopen64, (const char* path, const char* mode), (path, mode), EMFILE, NULL)
REPLACED("open", DIR*, opendir, (const char* path), (path), EMFILE, NULL)
REPLACED("read", ssize_t, read, (int file, void* to, size_t size), (file, to, size), EIO, -1)
REPLACED("read", ssize_t, pread, (int file, void* to, size_t size, off_t at), (file, to, size, at), EIO, -1)
REPLACED("read", ssize_t, pread64, (int file, void* to, size_t size, off64_t at), (file, to, size, at), EIO, -1)
REPLACED("read", struct dirent*, readdir, (DIR* directory), (directory), EIO, NULL)
REPLACED("read", struct dirent64*, readdir64, (DIR* directory), (directory), EIO, NULL)
REPLACED("mmap", void*, mmap, (void* at, size_t size, int access, int flags, int file, off_t offset),
         (at, size, access, flags, file, offset), ENOMEM, MAP_FAILED)
REPLACED("mmap", void*, mmap64, (void* at, size_t size, int access, int flags, int file, off64_t offset),
         (at, size, access, flags, file, offset), ENOMEM, MAP_FAILED)

#define REPLACED_OPEN(name)                                                          \
  int name(const char* path, int flags, ...) {                                       \
    static int (*real)(const char*, int, ...);                                       \
    if (!real) real = (int (*)(const char*, int, ...))dlsym(RTLD_NEXT, #name);       \
    if (strncmp(path, "/fault/", 7) == 0) return arm(path + 7);                      \
    va_list rest;                                                                    \
    va_start(rest, flags);                                                           \
    const int mode = va_arg(rest, int);                                              \
    va_end(rest);                                                                    \
    if (!fails("open")) return real(path, flags, mode);                              \
    errno = EMFILE;                                                                  \
    return -1;                                                                       \
  }
REPLACED_OPEN(open)
REPLACED_OPEN(open64)

int pthread_create(pthread_t* thread, const pthread_attr_t* attributes, void* (*body)(void*), void* argument) {
  static int (*real)(pthread_t*, const pthread_attr_t*, void* (*)(void*), void*);
  if (!real) real = (__typeof__(real))dlsym(RTLD_NEXT, "pthread_create");
  return fails("thread") ? EAGAIN : real(thread, attributes, body, argument);
}

// operator new and operator new[], by their names in the binary.
#define REPLACED_NEW(name, parameters, arguments)                                              \
  void* name parameters {                                                                      \
    static void*(*real) parameters;                                                            \
    if (!real) real = (void* (*)parameters)dlsym(RTLD_NEXT, #name);                            \
    if (fails(pthread_equal(pthread_self(), armed_by) ? "new" : "work"))                       \
      ((void (*)(void))dlsym(RTLD_DEFAULT, "_ZSt17__throw_bad_allocv"))();                     \
    return real arguments;                                                                     \
  }
REPLACED_NEW(_Znwm, (size_t size), (size))
REPLACED_NEW(_Znam, (size_t size), (size))
REPLACED_NEW(_ZnwmSt11align_val_t, (size_t size, size_t alignment), (size, alignment))
REPLACED_NEW(_ZnamSt11align_val_t, (size_t size, size_t alignment), (size, alignment))
