#include "platform/linux/file_error.h"

#include <system_error>

namespace grok::platform {
namespace {

const char* hint_for(int error_number) {
  switch (error_number) {
    case EACCES:
    case EPERM: return "Give this user permission to read the file and to enter every directory on the way.";
    case ENOTDIR: return "A part of the path before its last name is a file. Check the path.";
    case ELOOP: return "Symbolic links on the path lead in a circle. Remove one of them.";
    case ENAMETOOLONG: return "Give a shorter path, for example one from the current directory.";
    case EMFILE:
      return "Raise this process's limit on open files (ulimit -n), or look for a leak of descriptors in it.";
    case ENFILE: return "The system has no file left to open. Raise fs.file-max (sysctl), or end other programs.";
    case ENOMEM: return "Free memory, or raise the limit on address space (ulimit -v) or vm.max_map_count.";
    case EIO: return "The disk or its connection failed. Look at the kernel's log (dmesg), then copy the file again.";
    case ESTALE:
      return "The file changed on its network server. Run again; if that does not help, mount the share again.";
    case ENOTCONN:
    case ECONNABORTED:
    case ECONNRESET: return "The program behind this mount (FUSE) ended. Mount it again.";
    case ETIMEDOUT:
    case EHOSTDOWN:
    case EHOSTUNREACH:
    case ENETDOWN:
    case ENETUNREACH:
    case EREMOTEIO: return "The file server does not answer. Check the network and the mount.";
    case EBADMSG:
    case EUCLEAN: return "The file system found damage. Check it (fsck), then copy the file again.";
    case ENXIO:
    case ENODEV: return "Give the path of a regular file: this one has nothing behind it.";
    case EINTR: return "Signals interrupted every try. Run again.";
    case EAGAIN:
    case EBUSY:
    case ETXTBSY: return "Another program holds the file. Run again when it has ended.";
    case EOVERFLOW:
    case EFBIG: return "The file is too large for this system.";
    default: return "";
  }
}

ErrorCode code_for(int error_number) {
  if (error_number == ENOENT || error_number == ENOTDIR) return ErrorCode::not_found;
  return error_number == ENOMEM ? ErrorCode::out_of_memory : ErrorCode::io;
}

}  // namespace

Error file_error(const std::string& path, const std::string& failure, int error_number) {
  const std::string reason =
      error_number == ENOENT ? "no such file or directory" : std::generic_category().message(error_number);
  const std::string what = error_number == ENOENT ? "" : failure + ": ";
  return {code_for(error_number), concat(path, ": ", what, reason), hint_for(error_number)};
}

}  // namespace grok::platform
